"""The tree of errors, and what may stand below everything else."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import opg_magic
from opg_magic import errors

LEVELS = {"*": 1, "·": 2, "+": 3, "-": 4}


def drawn() -> dict[str, str]:
    """Each error of the docstring's tree, and the one that it stands under."""
    tree, above = {}, {}
    for line in (errors.__doc__ or "").splitlines():
        node = re.match(r" *([*·+-]) (\w+)", line)
        root = re.fullmatch(r"KeyboardInterrupt", line)
        if root:
            above[0] = "KeyboardInterrupt"
        if node:
            level, name = LEVELS[node[1]], node[2]
            above[level] = name
            tree[name] = above.get(level - 1, "Exception")
    return tree


def test_the_docstring_opens_with_the_whole_tree() -> None:
    defined = {
        name: error
        for name, error in vars(errors).items()
        if inspect.isclass(error)
        and issubclass(error, BaseException)
        and error.__module__ == errors.__name__
    }
    assert drawn() == {name: error.__bases__[0].__name__ for name, error in defined.items()}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("errors.py", ()), *((f"models/{name}", ("errors", "models")) for name in (
        path.name for path in (Path(opg_magic.__file__).parent / "models").glob("*.py")
    ))],
)  # fmt: skip
def test_what_stands_below_imports_nothing_from_above(path: str, allowed: tuple[str, ...]) -> None:
    """Not within a function, and not for the type checker alone, either."""
    tree = ast.parse((Path(opg_magic.__file__).parent / path).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "opg_magic":
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("opg_magic."):
            imported.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            imported |= {
                a.name.split(".")[1] for a in node.names if a.name.startswith("opg_magic.")
            }
    assert imported <= set(allowed)


@pytest.mark.parametrize(
    "kind",
    [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.OpgError | errors.CallInterrupted)
    ],
)
def test_every_error_comes_back_from_another_process(kind: type[BaseException]) -> None:
    """HostsDisagree did not: a worker that raised it failed with a TypeError of pickle's."""
    raised: Any = kind("why")
    raised.receipt_id = "N0PE"
    found = pickle.loads(pickle.dumps(raised))
    assert type(found) is kind
    assert (str(found), vars(found)) == (str(raised), vars(raised))
