"""Nothing is longer than a reader can hold: files, functions, lines."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "opg_magic"
FILE, FUNCTION, LINE = 450, 60, 100

# Those that are still longer.  Each set only shrinks, and ends empty.
LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()


def _long_files(package: Path) -> set[str]:
    return {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if len(file.read_text("utf-8").splitlines()) > FILE
    }


def _long_functions(package: Path) -> set[str]:
    return {
        f"{file.relative_to(package).as_posix()}:{node.name}"
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION
    }


def _wide() -> set[str]:
    """Python files with a line that ruff finds too wide, whatever pyproject.toml excuses."""
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed (extra lint)")
    run = subprocess.run(
        [ruff, "check", "--isolated", "--select", "E501", "--line-length", str(LINE),
         "--exclude", "examples/*", "--output-format", "json"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    return {Path(one["filename"]).relative_to(ROOT).as_posix() for one in json.loads(run.stdout)}


def test_no_file_is_longer_than_450_lines() -> None:
    assert _long_files(PACKAGE) == LONG_FILES


def test_no_function_is_longer_than_60_lines() -> None:
    assert _long_functions(PACKAGE) == LONG_FUNCTIONS


def test_no_line_is_wider_than_100_but_where_ruff_is_told_so() -> None:
    """Each exception that pyproject.toml makes is still needed; ruff itself finds new ones."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]
    assert settings["line-length"] == LINE
    excused = settings["lint"]["per-file-ignores"].items()
    assert _wide() == {name for name, rules in excused if "E501" in rules}


def test_longer_ones_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    body = "    pass\n" * 59
    (tmp_path / "a" / "b.py").write_text(
        f"def good():\n{body}\n\nclass C:\n    async def bad(self):\n        x = 1\n"
        + "        x = 1\n" * 59
        + "    x = 1\n" * 400
    )
    assert _long_files(tmp_path) == {"a/b.py"}
    assert _long_functions(tmp_path) == {"a/b.py:bad"}
