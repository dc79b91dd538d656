"""The parts of the simulated network stand in one order, and need little of the rest."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import opg_magic.simnet

FOLDER = Path(opg_magic.simnet.__file__).parent
#: From the ground up: a part imports itself and what stands before it.
ORDER = (
    "model", "chain", "contracts", "payment", "settlement", "host", "cheats", "oblivious", "builds",
    "keys",
    "heartbeats", "control", "network", "process", "__main__",
)  # fmt: skip
#: What of the rest of opg_magic they may use.
REST = {
    "opg_magic", "opg_magic.errors", "opg_magic.models", "opg_magic.settings",
    "opg_magic.protocol", "opg_magic.verify", "opg_magic.weights", "opg_magic.network.profiles",
    "opg_magic.network.simnet_client", "opg_magic.network.simnet_model",
    "opg_magic.display.output", "opg_magic.display.columns",
}  # fmt: skip


def imported(file: Path) -> Iterator[str]:
    """Every module of ours that a file imports, at its top, within functions, and for types."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module.partition(".")[0] == "opg_magic":
                yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (n.name for n in node.names if n.name.partition(".")[0] == "opg_magic")


def part(file: Path) -> str:
    return file.relative_to(FOLDER).parts[0].removesuffix(".py")


def test_every_part_has_its_place_in_the_order() -> None:
    assert {part(file) for file in FOLDER.rglob("*.py")} - {"__init__"} == set(ORDER)


def test_no_part_imports_a_later_one() -> None:
    back = [
        (str(file.relative_to(FOLDER)), name)
        for file in FOLDER.rglob("*.py")
        for name in imported(file)
        if name.startswith("opg_magic.simnet.")
        and ORDER.index(name.split(".")[2]) > ORDER.index(part(file))
    ]
    assert back == []


def test_of_the_rest_only_what_is_below_it_is_used() -> None:
    beyond = {
        (str(file.relative_to(FOLDER)), name)
        for file in FOLDER.rglob("*.py")
        for name in imported(file)
        if not name.startswith("opg_magic.simnet.")
        and not any(name == one or name.startswith(one + ".") for one in REST - {"opg_magic"})
        and name != "opg_magic.__version__"
    }
    assert beyond == set()
