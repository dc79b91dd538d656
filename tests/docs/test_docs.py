"""The documents name all that there is, and nothing that there is not."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from pathlib import Path

import pytest

from opg_magic import api, errors
from opg_magic.cells import magic_line
from opg_magic.ledger.columns import ALL_COLUMNS
from opg_magic.notebook.commands import COMMANDS
from opg_magic.notebook.commands.ledger import FILTERS
from opg_magic.settings import catalogue
from opg_magic.verify import weights

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import guide_tables  # noqa: E402

GUIDE = ROOT / "docs" / "guide.md"
TEXTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
NOTEBOOKS = tuple(sorted((ROOT / "examples").glob("*.ipynb")))

_LINK = re.compile(r"\]\(([^()\s]+)\)")
_CODE = re.compile(r"^```[^\n]*\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^|(?<=[\s(!$]))(%%opg|%opg|opg)[ \t]+(.+)$")
_OPG_FLAGS = {option.flag for option in magic_line.OPTIONS}


def _text(path: Path) -> str:
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text("utf-8"))["cells"]
        return "\n\n".join(
            "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"
        )
    return path.read_text("utf-8")


def _commands(path: Path) -> list[tuple[str, list[str]]]:
    """Each command in a document's code, as what begins it and the words after it."""
    found = []
    for block, span in _CODE.findall(_text(path)):
        for line in (block or span).splitlines():
            match = _COMMAND.search(line.partition("#")[0].replace("\\|", "|").rstrip())
            if match is not None:
                found.append((match[1], match[2].split()))
    return found


def _flags(words: list[str]) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(words)))


def _anchors(path: Path) -> set[str]:
    """The names that a forge gives to a document's headings."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", _text(path), flags=re.M | re.S), re.MULTILINE
    )
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


# ---------------------------------------------------------------------------------- it is all there


def test_the_guides_tables_are_up_to_date() -> None:
    text = GUIDE.read_text("utf-8")
    assert text == guide_tables.updated(text), "run: python scripts/guide_tables.py"


def test_the_guide_names_every_option_command_setting_and_shell_command() -> None:
    # Of the tables' source, not of the tables: should one of them come out empty, this fails.
    text = GUIDE.read_text("utf-8")
    for option in magic_line.OPTIONS:
        assert f"`{option.flag}" in text, option.flag
    for command in COMMANDS:
        assert f"`%opg {command}" in text, command
    for setting in catalogue.SETTINGS:
        assert f"`{setting.key}`" in text, setting.key
    shell = {" ".join(words) for words, _, _ in guide_tables.shell_commands()}
    assert {"opg verify", "opg receipts export", "opg simnet up", "opg attestation verify"} <= shell
    for words in shell:
        assert f"`{words}" in text, words


def test_the_guide_names_every_argument_of_ask_every_column_and_every_filter() -> None:
    text = GUIDE.read_text("utf-8")
    columns = [name for name in ALL_COLUMNS if not name.startswith("check_")]
    for name in (*inspect.signature(api.ask).parameters, *columns, "check_…", *FILTERS):
        assert f"`{name}`" in text, name


def test_the_guides_table_of_errors_is_complete() -> None:
    text = GUIDE.read_text("utf-8")
    table = text[text.index("| Error | Means |") :].partition("\n\n")[0]
    first = [row.split("|")[1] for row in table.splitlines()[2:]]
    listed = [name for cell in first for name in re.findall(r"`(\w+)`", cell)]
    public = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type)
        and issubclass(value, errors.OpgError)
        and value is not errors.OpgError
    }
    assert sorted(listed) == sorted(public)
    assert "`CallInterrupted`" in text


# -------------------------------------------------------------------------- all that is there is so


@pytest.mark.parametrize("path", [*TEXTS, *NOTEBOOKS], ids=lambda path: path.name)
def test_every_relative_link_resolves(path: Path) -> None:
    for target in _LINK.findall(_text(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), target
        assert file.is_relative_to(ROOT), target
        if anchor and file.suffix == ".md":
            assert anchor in _anchors(file), target


@pytest.mark.parametrize("path", [*TEXTS, *NOTEBOOKS], ids=lambda path: path.name)
def test_every_command_that_a_document_names_exists(path: Path) -> None:
    for begins, words in _commands(path):
        if begins == "%%opg":
            assert _flags(words) <= _OPG_FLAGS, words
        elif begins == "%opg":
            assert words[0] in COMMANDS or words[0] == "…", words
        else:
            assert _fault(words) is None, _fault(words)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_file_of_this_project_that_a_document_names_is_there(path: Path) -> None:
    folders = "|".join(
        ("opg_magic", "labextension", "tests", "scripts", "docs", "examples", "benchmarks")
    )
    for block, span in _CODE.findall(_text(path)):
        for named in re.findall(
            rf"(?:^|(?<=\s))(?:{folders})/[\w./-]*", block or span, re.MULTILINE
        ):
            assert (ROOT / named).exists(), named


_ATTACKS = re.compile(
    r"\battacks? (\d+(?:(?:,| and| to| or) \d+)*)|\btest_attack_(\d+)", re.IGNORECASE
)


def _named_attacks(text: str) -> set[int]:
    found: set[int] = set()
    for several, one in _ATTACKS.findall(text):
        numbers = [int(number) for number in re.findall(r"\d+", several or one)]
        if " to " in several:
            numbers = [*range(numbers[0], numbers[-1] + 1)]
        found |= set(numbers)
    return found


def test_the_false_alarms_that_are_told_are_those_in_the_documents() -> None:
    told = [int(number) for number in re.findall(r"\d+", weights.MEASURED) if number != "0"]
    page = (ROOT / "docs" / "weights.md").read_text("utf-8")
    rows = {row.split(" | ")[0]: row.split(" | ") for row in page.splitlines()}
    builds = ("AVX-512", "no AVX")
    cold = ["honest", *(f"another build ({one})" for one in builds), "16 bit arithmetic"]
    warm = ["honest at 0.7", "another build at 0.7"]
    answers = {name: int(rows[f"| {name}"][1]) for name in cold + warm}
    assert all(rows[f"| {name}"][7] == "0" for name in cold)
    refused = sum(int(rows[f"| {name}"][2]) for name in warm)
    asked = [sum(answers[name] for name in names) for names in (cold, warm)]
    assert told == [*asked, refused]


def test_every_attack_that_is_named_by_number_is_in_the_table_of_attacks() -> None:
    trust = (ROOT / "docs" / "trust.md").read_text("utf-8")
    listed = [int(number) for number in re.findall(r"^\| (\d+) \|", trust, re.MULTILINE)]
    assert listed == sorted(set(listed))
    named = set()
    for folder, suffix in (("opg_magic", "py"), ("labextension/src", "ts*"), ("tests", "py")):
        for path in (ROOT / folder).rglob(f"*.{suffix}"):
            named |= _named_attacks(path.read_text("utf-8"))
    assert {1, 2, 9, 14, 21, 27, 40} <= named, "the search finds nothing"
    assert named <= set(listed)


def test_numbers_of_attacks_are_read_alone_in_rows_and_in_ranges() -> None:
    assert _named_attacks("(attack 9); attacks 5 to 8, Attacks 13 and 15") == {
        5,
        6,
        7,
        8,
        9,
        13,
        15,
    }
    assert _named_attacks("def test_attack_09_cut(): ... attacker 7, an attack") == {9}


#: Documents that are not in this repository.  In parts, so that this file is not found.
_ELSEWHERE = re.compile(
    r"\bprotocol,? " + r"sections? \d"
    r"|\(verification" + r", (?:claim|attack|\"\w+\"\))"
    r"|\bverification " + r"design\b",
    re.IGNORECASE,
)


def test_nothing_cites_a_document_that_a_reader_cannot_open() -> None:
    found = []
    for folder in ("opg_magic", "labextension/src", "tests", "scripts", "docs", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            # Contracts are compiled with their comments: see sourcesSha256 in artifacts.json.
            if path.suffix in (".py", ".ts", ".tsx", ".md", ".mjs") and path.is_file():
                if "node_modules" in path.parts:
                    continue
                text = path.read_text("utf-8")
                found += [f"{path.relative_to(ROOT)}: {m[0]}" for m in _ELSEWHERE.finditer(text)]
    assert found == []


def test_commands_that_do_not_exist_are_noticed() -> None:
    assert (
        _fault(["verfy", "x.json"])
        and _fault(["receipts", "import"])
        and _fault(["wallet", "show", "--key"])
    )
    assert _fault(["wallet", "new", "|", "show"]) is None
    assert _commands(ROOT / "README.md"), "no command was found at all"


def _fault(words: list[str]) -> str | None:
    """What is wrong with ``opg WORDS``; None if nothing is."""
    known = {tuple(parts[1:]): parser for parts, parser, _ in guide_tables.shell_commands()}
    if not re.match(r"[a-z]", words[0]):
        flags: set[str] = {"--help", "--version"}
    else:
        parser = next((known[tuple(words[:n])] for n in (2, 1) if tuple(words[:n]) in known), None)
        if parser is None:
            groups = {parts[0] for parts in known if len(parts) > 1}
            whole_group = words[0] in groups and words[1:] in ([], ["…"])
            return None if whole_group else f"opg {' '.join(words)}: no such command"
        flags = {flag for action in parser._actions for flag in _strings(action)}
    unknown = _flags(words) - flags
    return (
        f"opg {' '.join(words)}: {', '.join(sorted(unknown))} is no option of it"
        if unknown
        else None
    )


def _strings(action: argparse.Action) -> list[str]:
    return list(action.option_strings)
