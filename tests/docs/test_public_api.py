"""docs/api.md lists what is public, all of it and nothing else, as the code has it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import opg_magic
from opg_magic import errors, verify

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import guide_tables  # noqa: E402
import public_api  # noqa: E402

TEXT = public_api.PAGE.read_text("utf-8")


def _part(name: str) -> str:
    return TEXT.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]


def _listed(part: str, prefix: str) -> list[str]:
    """The names that begin a code block."""
    blocks = re.findall(r"^```python\n(.+)", _part(part), re.MULTILINE)
    return [re.search(rf"\b{re.escape(prefix)}\.(\w+)", block)[1] for block in blocks]


def test_the_listings_are_up_to_date() -> None:
    assert public_api.updated(TEXT) == TEXT, "run: python scripts/public_api.py"


def test_the_page_lists_exactly_the_names_of_the_package_and_of_verify() -> None:
    assert _listed("package", "opg_magic") == list(opg_magic.__all__)
    assert _listed("verify", "opg_magic.verify") == list(verify.__all__)


def test_every_public_name_is_there_to_be_imported() -> None:
    for module in (opg_magic, verify):
        for name in module.__all__:
            assert getattr(module, name) is not None
    assert set(dir(opg_magic)) == set(opg_magic.__all__)


def test_the_page_lists_exactly_the_errors() -> None:
    listed = re.findall(r"^\| (?:&nbsp;)*`(\w+)`", _part("errors"), re.MULTILINE)
    public = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    ]
    assert sorted(listed) == sorted(public)
    assert len(listed) == len(set(listed))


def test_an_error_stands_below_the_one_that_it_is_a_kind_of() -> None:
    rows = re.findall(r"^\| ((?:&nbsp;)*)`(\w+)`", _part("errors"), re.MULTILINE)
    above: list[str] = []
    for indent, name in rows:
        depth = indent.count("&nbsp;") // 4
        above[depth:] = [name]
        if depth:
            assert getattr(errors, name).__bases__[0] is getattr(errors, above[depth - 1]), name


def test_the_page_lists_every_command_of_the_shell() -> None:
    listed = re.findall(r"^\| `(opg [^`]+)` \|", _part("shell"), re.MULTILINE)
    assert listed == [" ".join(words) for words, _, _ in guide_tables.shell_commands()]


def test_nothing_that_is_listed_shows_an_address_in_memory() -> None:
    assert " at 0x" not in TEXT
    assert "<function" not in TEXT


def test_the_promise_about_receipts_is_on_the_page() -> None:
    assert "A receipt of version 1 verifies with every later version." in TEXT
