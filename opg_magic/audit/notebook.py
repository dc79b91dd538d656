"""A notebook's cells, and the outputs in them that bear a receipt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from opg_magic.audit.sources import joined
from opg_magic.errors import MalformedMessage, UnreadableReceipt
from opg_magic.models import strict_json
from opg_magic.receipt import table
from opg_magic.receipt.document import MIME_TYPE

#: What a front end shows by its MIME types; every other kind of output it shows by other means.
_DISPLAYS = ("display_data", "execute_result")


@dataclass(frozen=True)
class Display:
    """One output that bears a receipt: its MIME bundle and its metadata."""

    bundle: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> str | dict[str, Any] | None:
        """The receipt as it stands there: a document, or its JSON text; None of what is neither."""
        held = self.bundle[MIME_TYPE]
        return held if isinstance(held, dict) else joined(held)


@dataclass(frozen=True)
class Beside:
    """An output that bears no receipt: the output itself, and how many displays stand before it.
    None in place of the output: a receipt's own, which is shown by other means than its types."""

    output: Mapping[str, Any] | None
    before: int


@dataclass(frozen=True)
class Cell:
    """One code cell.  ``tables``: outputs that bear the receipts of a table.  ``others``: what else
    it shows.  ``run``: it has outputs or a count."""

    number: int
    source: str
    displays: tuple[Display, ...]
    others: tuple[Beside, ...]
    run: bool
    tables: tuple[Display, ...] = ()

    @property
    def where(self) -> str:
        return f"cell {self.number}"


def cells_of(raw: bytes) -> Iterator[Cell]:
    """The code cells of a notebook.  Raises :class:`UnreadableReceipt`: whoever shows it may show
    something else."""
    try:
        notebook = strict_json.loads(raw)
    except MalformedMessage as error:
        raise UnreadableReceipt(f"It is not readable as JSON: {error.message}") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    # Of an older format other parts are shown than "cells".
    if (
        not isinstance(cells, list)
        or not all(isinstance(c, dict) for c in cells)
        or notebook.get("nbformat") != 4
    ):
        raise UnreadableReceipt("It is not a notebook of format 4.")
    return (
        _cell(number, cell)
        for number, cell in enumerate(cells, 1)
        if cell.get("cell_type") == "code"
    )


def _cell(number: int, cell: Mapping[str, Any]) -> Cell:
    source, outputs = joined(cell.get("source")), cell.get("outputs", [])
    if (
        source is None
        or not isinstance(outputs, list)
        or not all(isinstance(o, dict) for o in outputs)
    ):
        raise UnreadableReceipt(f"Cell {number} does not have the form of a notebook's cell.")
    displays, tables, others = list[Display](), list[Display](), list[Beside]()
    for output in outputs:
        data, metadata = output.get("data"), output.get("metadata", {})
        if isinstance(data, dict) and (MIME_TYPE in data or table.MIME_TYPE in data):
            found = displays if MIME_TYPE in data else tables
            found.append(Display(data, metadata if isinstance(metadata, dict) else {}))
            # Its text is shown then, and not its data.
            if output.get("output_type") not in _DISPLAYS:
                others.append(Beside(None, len(displays)))
        else:
            others.append(Beside(output, len(displays)))
    run = bool(outputs) or cell.get("execution_count") is not None
    return Cell(number, source, tuple(displays), tuple(others), run, tuple(tables))
