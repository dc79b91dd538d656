"""The table as an Excel workbook: what Excel cannot hold is written so that nothing is changed
silently."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

from opg_magic.errors import ConfigError, LedgerError
from opg_magic.ledger.formats.interface import ChosenCalls, ExportFormat, Written

#: Excel's own bounds: characters of a cell, rows of a sheet with its head.
MAX_TEXT = 32_767
MAX_ROWS = 1_048_576
#: Integers up to here are exact in Excel, which shows 15 digits.
_EXACT = 10**15

_CUT = " … (cut: Excel holds no more)"


class Excel(ExportFormat):
    """Needs XlsxWriter, which the extra ``excel`` brings."""

    suffix = ".xlsx"
    summary = "a row per call, as a workbook"

    def write(self, calls: ChosenCalls, path: Path) -> Written:
        return Written(len(calls.table), cut=_write(calls, path))


def _write(calls: ChosenCalls, path: Path) -> int:
    """Write the table; returns how many texts had to be cut.

    Times are UTC without saying so in each cell (``time_utc``), base units are text, and no cell is
    a formula."""
    table, kinds = calls.table, calls.kinds
    try:
        import xlsxwriter
    except ImportError:
        raise ConfigError(
            "Writing .xlsx needs the package XlsxWriter.",
            hint="pip install xlsxwriter (the extra excel brings it), or export a .csv with "
            "--excel.",
        ) from None
    if len(table) >= MAX_ROWS:
        raise LedgerError(
            f"{len(table)} calls are more than an Excel sheet holds.",
            hint="Export .csv or .parquet.",
        )
    cut = 0
    with xlsxwriter.Workbook(str(path), {"constant_memory": True}) as book:
        sheet = book.add_worksheet("calls")
        time_format = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
        sheet.freeze_panes(1, 0)
        for place, name in enumerate(table.columns):
            shown = f"{name}_utc" if kinds.get(str(name)) == "time" else str(name)
            sheet.write_string(0, place, shown)
        values = [calls.values(name) for name in table.columns]
        for number, row in enumerate(zip(*values, strict=True), 1):
            for place, (name, value) in enumerate(zip(table.columns, row, strict=True)):
                kind = kinds.get(str(name), "text")
                if value is None:
                    continue
                if kind == "time":
                    moment = value.to_pydatetime().astimezone(UTC).replace(tzinfo=None)
                    sheet.write_datetime(number, place, moment, time_format)
                elif kind == "bool":
                    sheet.write_boolean(number, place, bool(value))
                elif kind == "float" or (kind == "int" and abs(value) < _EXACT):
                    sheet.write_number(number, place, value)
                else:
                    text, was_cut = _text(value)
                    cut += was_cut
                    sheet.write_string(number, place, text)
    return cut


def _text(value: Any) -> tuple[str, bool]:
    text = str(value)
    # Excel counts UTF-16 units.
    if len(text.encode("utf-16-le", "surrogatepass")) // 2 <= MAX_TEXT:
        return text, False
    raw = text.encode("utf-16-le", "surrogatepass")[: 2 * (MAX_TEXT - len(_CUT))]
    return raw.decode("utf-16-le", "ignore") + _CUT, True
