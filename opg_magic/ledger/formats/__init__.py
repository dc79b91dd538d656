"""Export formats, by the ending of the file's name.  A new one is a file here and a line in
:data:`FORMATS`."""

from __future__ import annotations

from collections.abc import Mapping

from opg_magic.ledger.formats.csv import Csv
from opg_magic.ledger.formats.excel import Excel
from opg_magic.ledger.formats.interface import ExportFormat
from opg_magic.ledger.formats.jsonl import Jsonl
from opg_magic.ledger.formats.parquet import Parquet

FORMATS: Mapping[str, ExportFormat] = {
    one.suffix: one for one in (Jsonl(), Csv(), Parquet(), Excel())
}
