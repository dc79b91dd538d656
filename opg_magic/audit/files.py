"""A file as the receipts in it, each with its place; a notebook's with their cells."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from opg_magic.audit.notebook import Cell, Display, cells_of
from opg_magic.audit.sources import asks, lacks_receipt
from opg_magic.audit.tables import Elsewhere, Reader, read_table
from opg_magic.errors import UnreadableReceipt
from opg_magic.receipt.document import Receipt

#: Longest notebook or ``.jsonl`` file that is read, in bytes.
MAX_FILE_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class Place:
    """Where a receipt stands; in a notebook with its cell and its display.  ``asks``: that cell is
    a ``%%opg`` call."""

    receipt: Receipt
    where: str
    cell: Cell | None = None
    display: Display | None = None
    asks: bool = False

    @property
    def row(self) -> bool:
        """Whether it is one of a table's receipts."""
        return self.cell is not None and self.display is None


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # A device or a pipe does not tell its size, and may never end.
            raw = file.read(MAX_FILE_BYTES + 1) if path.stat().st_size <= MAX_FILE_BYTES else b""
            longer = len(raw) > MAX_FILE_BYTES or path.stat().st_size > MAX_FILE_BYTES
    except OSError as error:
        raise UnreadableReceipt(f"The file cannot be read: {error.strerror or error}.") from None
    if longer:
        raise UnreadableReceipt(f"It is longer than {MAX_FILE_BYTES} bytes.")
    # A byte order mark says nothing here, and is not part of JSON.
    return raw.removeprefix(codecs.BOM_UTF8)


def read_file(
    source: Path, audit: Reader, receipts: Path | None
) -> tuple[list[Place], list[Receipt]]:
    """The receipts in a file, and those of a second one that a notebook does not name: they are not
    judged.  Raises :class:`UnreadableReceipt`."""
    suffix = source.suffix.lower()
    if suffix not in (".json", ".jsonl", ".ipynb"):
        raise UnreadableReceipt("The file name does not end in .json, .jsonl, .ipynb.")
    if receipts is None:
        readers = {".json": _read_json, ".jsonl": _read_jsonl, ".ipynb": _read_notebook}
        return readers[suffix](_bytes_of(source), audit), []
    if suffix != ".ipynb" or receipts.suffix.lower() != ".jsonl":
        raise UnreadableReceipt(
            "Two files are checked together where the first is a notebook (.ipynb) and the second "
            "holds receipts (.jsonl)."
        )
    elsewhere = Elsewhere(receipts.name)
    for place in _read_jsonl(_bytes_of(receipts), audit, f" of {receipts.name}"):
        elsewhere.add(place.receipt)
    places = _read_notebook(_bytes_of(source), audit, elsewhere)
    if elsewhere.others and audit.only is None:
        message = (
            f"{receipts.name} holds {len(elsewhere.others):,} more receipts, which no table of "
            "this notebook names: they were not judged."
        )
        audit.say("note", "not-named", message, receipts.name)
    return places, elsewhere.others


def _read_json(raw: bytes, audit: Reader) -> list[Place]:
    receipt = audit.read(raw, "the file")
    return [] if receipt is None else [Place(receipt, "the file")]


def _read_jsonl(raw: bytes, audit: Reader, of: str = "") -> list[Place]:
    places = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        if line.strip():
            receipt = audit.read(line, f"line {number}{of}")
            if receipt is not None:
                places.append(Place(receipt, f"line {number}{of}"))
    return places


def _read_notebook(raw: bytes, audit: Reader, elsewhere: Elsewhere | None = None) -> list[Place]:
    places: list[Place] = []
    for cell in cells_of(raw):
        calls = asks(cell.source)
        found = len(places)
        for display in cell.displays:
            receipt = audit.read(display.held, cell.where)
            if receipt is not None:
                places.append(Place(receipt, cell.where, cell, display, calls))
        tables = [read_table(one, audit, cell.where, elsewhere) for one in cell.tables]
        places += [
            Place(receipt, cell.where, cell, asks=calls)
            for table in tables
            for receipt in table or ()
        ]
        lacks = lacks_receipt(cell.source, run=cell.run, shows=bool(cell.others))
        bears = places[found:] or any(table is not None for table in tables)
        if lacks is not None and not bears and audit.only is None:
            audit.say("incomplete", "no-receipt", lacks, cell.where)
    return places
