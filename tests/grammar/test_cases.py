"""One grammar: the cases that the browser's reading of a cell is held to as well
(``grammar.spec.ts``)."""

from __future__ import annotations

import json
import random
import shlex
from pathlib import Path
from typing import Any

import pytest

from opg_magic.audit import sources
from opg_magic.cells import grammar, magic_line

CASES: dict[str, list[Any]] = json.loads((Path(__file__).parent / "cases.json").read_text("utf-8"))


def as_json(value: Any) -> Any:
    return {"variable": value.variable} if isinstance(value, magic_line.Named) else value


def read(source: str) -> dict[str, Any]:
    cell = sources.read_source(source)
    found: dict[str, Any] = {"source": source, "kind": cell.kind}
    if cell.head is not None:
        found |= {"line": cell.head.line, "body": cell.head.body}
    if cell.line is not None:
        given = {
            key: as_json(list(v) if isinstance(v, tuple) else v)
            for key, v in cell.line.given.items()
        }
        found |= {"name": cell.line.name, "given": given}
    return found


@pytest.mark.parametrize("case", CASES["cells"], ids=lambda case: ascii(case["source"])[:50])
def test_a_cell_is_what_it_says(case: dict[str, Any]) -> None:
    assert read(case["source"]) == case


def test_what_the_magic_would_refuse_is_no_call() -> None:
    """``read`` and ``parse`` differ only in what depends on the kernel."""
    for case in CASES["cells"]:
        if case["kind"] in ("call", "free") and case["given"].get("settle") != "individual":
            magic_line.parse(case["line"], {"m": "openai/gpt-5", "n": 5, "t": "x"})
        elif case["kind"] == "unclear":
            with pytest.raises(magic_line.LineError):
                magic_line.parse(case["line"], {"m": "openai/gpt-5", "n": 5, "t": "x"})


@pytest.mark.parametrize(("text", "normal"), CASES["normal"], ids=ascii)
def test_both_sides_of_a_comparison_are_normalised_alike(text: str, normal: str) -> None:
    assert grammar.normal(text) == normal
    assert grammar.normal(normal) == normal


@pytest.mark.parametrize(("template", "text", "fits"), CASES["fills"], ids=ascii)
def test_what_a_template_can_become(template: str, text: str, *, fits: bool) -> None:
    assert grammar.fills(template, text) is fits


@pytest.mark.parametrize(("text", "stripped"), CASES["strip"], ids=ascii)
def test_white_space_is_what_python_has(text: str, stripped: str) -> None:
    assert text.strip() == stripped


def test_white_space_is_listed_in_full() -> None:
    listed = {chr(code) for code in range(0x110000) if grammar.is_blank(chr(code))}
    assert listed == {chr(code) for code in range(0x110000) if chr(code).isspace()}


def test_words_are_split_as_a_shell_splits_them() -> None:
    """The standard library's splitter is the oracle; comments are ours."""
    source = random.Random(561)
    for _ in range(3000):
        line = "".join(source.choice(" \t'\"\\abé=-") for _ in range(source.randrange(14)))
        found = grammar.words(line)
        try:
            assert (found.is_open, found.values) == (
                False,
                shlex.split(line, comments=False, posix=True),
            ), line
        except ValueError:
            assert found.is_open, line


def test_hostile_text_is_read_in_no_time() -> None:
    """Nothing here takes a time that grows faster than the text: what did would take minutes for
    this."""
    size = 200_000
    stops = "%%opg " + "--stop a " * size
    for text in (
        *(
            "%%time\n" * (size // 7),
            "{{" * size,
            " \n" * size,
            "%%opg " + "\\" * size,
            "%%opg " + "'\"" * size,
            stops,
        ),
        *("%%capture " + "-a 1 " * size + "!\n%%opg", "%%time -" + "a-" * size + "!\n%%opg a\nx"),
        *("%" * size, "#\n" * size, "\u200b" * size, "In [" + "0" * size),
    ):
        sources.read_source(text)
        assert not grammar.reads_like_a_call(text) or "%%opg" in text
        grammar.fills(text, text)
        grammar.normal(text)
