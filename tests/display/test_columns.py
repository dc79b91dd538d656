"""Tables of the shell: lines that fit, whatever stands in them."""

from __future__ import annotations

import pytest

from opg_magic.display import columns

LONG = "Why is the sky blue, and what of the sea? " * 20


def test_the_column_that_gives_is_cut_and_every_line_fits() -> None:
    rows = [("id", "prompt", "cost"), ("AB12", LONG, "0.25"), ("CD34", "短い" * 90, "10.5")]
    lines = columns.table(rows, 60, gives=1, right=(2,)).splitlines()
    assert [columns.drawn(line) <= 60 for line in lines] == [True] * 3
    assert [line.split()[-1] for line in lines] == ["cost", "0.25", "10.5"]
    assert lines[0].endswith("  cost") and lines[1].endswith("…  0.25")
    assert columns.drawn(lines[1]) == columns.drawn(lines[2]) == 60


def test_without_a_width_nothing_is_cut() -> None:
    assert LONG.strip() in columns.table([("a", LONG, "b")], None, gives=1)


def test_what_wraps_goes_on_below_itself_and_loses_nothing() -> None:
    lines = columns.table([("key", LONG), ("longer key", "short")], 50, wraps=True).splitlines()
    assert all(len(line) <= 50 for line in lines)
    assert all(line.startswith(" " * 12) for line in lines[1:-1])
    assert " ".join(" ".join(lines[:-1]).split()) == "key " + " ".join(LONG.split())
    assert lines[-1] == "longer key  short"


def test_a_cell_is_one_line_that_no_terminal_obeys() -> None:
    assert columns.table([("a\nb", "\x1b[2Jc")], 40) == "a b  ␛[2Jc"


def test_text_from_right_to_left_does_not_draw_the_next_column_into_itself() -> None:
    (line, _) = columns.table([("שלום", "12"), ("ab", "3")], None).splitlines()
    assert line == "\u2068שלום\u2069  12"
    assert columns.drawn(line) == len("שלום  12")
    (cut,) = columns.table([("ש" * 90, "12")], 40, gives=0).splitlines()
    assert columns.drawn(cut) == 40 and cut.endswith("…\u2069  12")


def test_nothing_makes_no_lines() -> None:
    assert columns.table([], 40) == ""
    assert columns.table([("", "")], 40, wraps=True) == ""


def test_the_width_is_the_reader_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "77")
    assert columns.line_width() == 77
    monkeypatch.delenv("COLUMNS")
    assert columns.line_width() == columns.PIPED
