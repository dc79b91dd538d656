"""The rooms: imports point one way, and the page that draws them is true."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import rooms  # noqa: E402

PACKAGE = ROOT / "opg_magic"
#: What may stand at the top beside the rooms.
TOP = {"__init__.py", "api.py", "errors.py", "py.typed"}
#: Built into the package by npm, and not tracked; no code imports it.
BUILT = {"labextension", "__pycache__"}

# Faults that are known.  Both sets only shrink, and end empty.
STILL_BACK: set[tuple[str, str]] = set()
STILL_CIRCLES: set[frozenset[str]] = set()


@pytest.fixture(scope="module")
def graph() -> rooms.Graph:
    return rooms.imports(PACKAGE)


def test_at_the_top_stand_the_rooms_and_nothing_else() -> None:
    found = {path.name for path in PACKAGE.iterdir()} - BUILT
    assert {name for name in found if (PACKAGE / name).is_file()} == TOP
    folders = {name for name in found if (PACKAGE / name).is_dir()}
    assert folders <= set(rooms.ROOMS)
    assert not folders & {"api", "errors"}


def test_no_import_runs_back(graph: rooms.Graph) -> None:
    assert rooms.back(graph) == STILL_BACK


def test_the_simulated_network_is_used_by_nobody(graph: rooms.Graph) -> None:
    users = {name for name, targets in graph.items() if "simnet" in map(rooms.room, targets)}
    assert {rooms.room(name) for name in users} == {"simnet"}


def test_no_modules_of_a_room_import_each_other_in_a_circle(graph: rooms.Graph) -> None:
    found = set()
    for name in rooms.ROOMS:
        inside = {
            module: frozenset(target for target in targets if rooms.room(target) == name)
            for module, targets in graph.items()
            if rooms.room(module) == name
        }
        found |= set(rooms.circles(inside))
    assert found == STILL_CIRCLES


def test_no_rooms_use_each_other_in_a_circle() -> None:
    assert rooms.circles(rooms.rooms()) == []


def test_the_page_is_as_the_code_is() -> None:
    text = rooms.PAGE.read_text("utf-8")
    assert text == rooms.updated(text), "run: python scripts/rooms.py"


def test_the_drawing_says_all_that_the_code_does() -> None:
    # Read back from the page, so that the generator is not its own witness.
    drawn = [
        line.split(" --> ") for line in rooms.PAGE.read_text("utf-8").splitlines() if "-->" in line
    ]
    reach: dict[str, set[str]] = {}
    for name, target in ((a.strip(), b) for a, b in (pair for pair in drawn if len(pair) == 2)):
        reach.setdefault(name, set()).add(target)
    used = rooms.rooms()
    assert set(used) <= set(rooms.ROOMS)
    for name, targets in used.items():
        seen: set[str] = set()
        waiting = set(reach.get(name, ()))
        assert waiting <= targets, name
        while waiting:
            seen |= waiting
            waiting = {b for a in waiting for b in reach.get(a, ())} - seen
        assert targets <= seen, name


def test_the_walk_names_every_room_that_a_call_or_a_reading_passes() -> None:
    walk = rooms.PAGE.read_text("utf-8").partition("## The rooms")[0]
    elsewhere = {"models", "api", "simnet", "weights"}
    assert {name for name in rooms.ROOMS if f"`{name}`" in walk} == set(rooms.ROOMS) - elsewhere


def test_the_readme_lists_the_rooms_in_their_order_and_words() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    rows = re.findall(r"^opg_magic/(\w+)(?:/|\.py) +(.+)$", text, re.MULTILINE)
    words = {name: about.replace("`", "") for name, about in rooms.ROOMS.items()}
    here = rooms.rooms()
    assert rows == [(name, about) for name, about in words.items() if name in here]


# ------------------------------------------------------------------ the test can see what it is for


def test_every_kind_of_import_is_seen(tmp_path: Path) -> None:
    sources = {
        "__init__": "from opg_magic import verify",
        "errors": "if TYPE_CHECKING:\n    from opg_magic.models import Money",
        "models/__init__": "from opg_magic.models.money import Money",
        "models/money": "def f():\n    import opg_magic.wallet.keys",
        "verify/__init__": "from opg_magic import __version__\nimport opg_magicx, os.path",
        "wallet/__init__": "",
        "wallet/keys": "from opg_magic.wallet import bounds",
        "wallet/bounds": "from opg_magic.wallet.keys import Key\nfrom opg_magic import errors",
    }
    package = tmp_path / "opg_magic"
    for name, text in sources.items():
        file = package / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    graph = rooms.imports(package)
    assert graph["wallet.bounds"] == {"wallet.keys", "errors"}
    assert graph["verify"] == set()
    assert rooms.back(graph) == {("errors", "models"), ("models.money", "wallet.keys")}
    assert rooms.circles(graph) == [
        frozenset({"errors", "models", "models.money", "wallet.bounds", "wallet.keys"})
    ]


def test_a_relative_import_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "opg_magic"
    package.mkdir()
    (package / "api.py").write_text("from . import errors")
    with pytest.raises(ValueError, match="line 1: a relative import"):
        rooms.imports(package)


def test_a_drawing_leaves_out_only_what_follows() -> None:
    graph = {"a": frozenset("bcd"), "b": frozenset("c"), "c": frozenset(), "d": frozenset("c")}
    assert rooms.drawn(graph) == {("a", "b"), ("a", "d"), ("b", "c"), ("d", "c")}
