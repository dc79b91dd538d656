"""The lowest versions that pyproject.toml admits, as constraints for pip: ``floors.py [FILE]``.

``make floors`` installs exactly those and runs the quick tests: a lower bound that nobody tried is
a guess.  Covered are the project's own dependencies and the extras that a user installs; what only
tests and builds need is the newest.

Needs nothing but Python: it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("simnet", "local", "parquet", "excel", "charts", "polars", "dask", "lab", "demo")
#: ``name>=1.2``, ``name>=1.2,<2`` or ``name==1.2``: each has one lowest version, on those Pythons
#: for which it is wanted.
_DECLARED = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[a-z,]+\])?(?:>=|==)(?P<lowest>[0-9][0-9A-Za-z.]*)(?:,<[0-9.]+)?"
    r"(?:; python_version < '[0-9.]+')?"
)


class NoFloor(ValueError):
    """A dependency without one lowest version."""


def floors(pyproject: dict[str, Any]) -> dict[str, str]:
    """The lowest version of each dependency, by its name.  Raises NoFloor."""
    project = pyproject["project"]
    own = re.compile(re.escape(project["name"]) + r"\[[a-z,]+\]")
    declared = [
        *project["dependencies"],
        *(one for name in EXTRAS for one in project["optional-dependencies"][name]),
    ]
    found: dict[str, str] = {}
    for requirement in declared:
        if own.fullmatch(requirement):
            continue
        match = _DECLARED.fullmatch(requirement)
        if match is None:
            raise NoFloor(
                f"{requirement!r} has no lowest version: write name>=1.2, name>=1.2,<2 or name==1.2"
            )
        name, lowest = match["name"], match["lowest"]
        if found.setdefault(name, lowest) != lowest:
            raise NoFloor(f"{name} has two lowest versions: {found[name]} and {lowest}")
    return found


def main() -> int:
    try:
        found = floors(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    except NoFloor as error:
        print(f"floors: {error}", file=sys.stderr)
        return 1
    text = "".join(f"{name}=={lowest}\n" for name, lowest in found.items())
    if sys.argv[1:]:
        Path(sys.argv[1]).write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
