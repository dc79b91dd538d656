"""The table as CSV that every reader takes apart alike, and of which no spreadsheet runs a cell.

All that is there is quoted, so that neither a separator nor a line break within a text splits it;
what is missing is nothing between two commas.  A spreadsheet that is told another separator, or
mistakes a line break, begins new cells within a text: so wherever a cell could begin that would be
taken for a formula, an apostrophe is put before it. :func:`unguarded` takes them out again: every
text comes back as it was."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from opg_magic.ledger.formats.interface import ChosenCalls, ExportFormat, Written

# The same as in labextension/src/lab/exporting.ts: tests/corpus/guarded.json holds both to it.
_BREAKS = "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
#: What a formula begins with, in the forms that spreadsheets of the East take for the same.
_FORMULA = "=+\\-@＝＋－＠﹢﹣﹦﹫"
#: What may stand before it and count for nothing.
_FILL = "[ \"'\x00\xa0\u1680\u2000-\u200f\u202f\u205f\u3000\ufeff]*"

_FIRST = f"{_FILL}[{_FORMULA}%|{_BREAKS}]"
_LATER = f"{_FILL}[{_FORMULA}]"
_PLACE = re.compile(f"\\A(?={_FIRST})|(?<=[{_BREAKS},;|])(?={_LATER})")
_GUARD = re.compile(f"\\A'(?={_FIRST})|(?<=[{_BREAKS},;|])'(?={_LATER})")


def guarded(text: str) -> str:
    """The text with an apostrophe wherever a spreadsheet could see a formula begin."""
    return _PLACE.sub("'", text)


def unguarded(text: str) -> str:
    """A text out of such a file as it was: ``unguarded(guarded(text)) == text``."""
    return _GUARD.sub("", text)


class Csv(ExportFormat):
    """Needs nothing but Python."""

    suffix = ".csv"
    summary = "a row per call, for any program"
    #: ``utf-8-sig`` begins the file with the mark without which Excel does not take it for UTF-8.
    encoding = "utf-8"

    def write(self, calls: ChosenCalls, path: Path) -> Written:
        table = calls.table
        texts = [calls.kinds.get(name, "text") in ("text", "category") for name in table.columns]
        with path.open("w", encoding=self.encoding, newline="") as out:
            out.write(_line(f'"{name}"' for name in table.columns))
            for row in zip(*map(calls.values, table.columns), strict=True):
                out.write(
                    _line(_field(value, text=text) for value, text in zip(row, texts, strict=True))
                )
        return Written(len(table))


class CsvForExcel(Csv):
    """The same with the mark that Excel needs (``--excel``)."""

    encoding = "utf-8-sig"


def _field(value: Any, *, text: bool) -> str:
    if value is None:
        return ""
    if hasattr(value, "isoformat"):
        value = value.isoformat()
    shown = guarded(str(value)) if text else str(value)
    return '"' + shown.replace('"', '""') + '"'


def _line(fields: Iterable[str]) -> str:
    return ",".join(fields) + "\r\n"
