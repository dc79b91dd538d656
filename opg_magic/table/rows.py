"""The prompts of a table: each different one once, and which rows ask it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opg_magic.errors import ArgumentError, CallFailed, PromptError
from opg_magic.models import Prompt
from opg_magic.table.cells import texts
from opg_magic.table.frames import Frame
from opg_magic.table.template import Template

#: The prompt of a row that asks nothing.
NOTHING = -1


@dataclass(slots=True)
class Outcome:
    """What came of one prompt: an answer's ``text`` (and ``data`` by a shape), or the ``error``
    that says why there is none.  The receipt itself stays in the ledger."""

    text: str | None = None
    error: str | None = None
    verdict: str | None = None
    receipt: str | None = None
    recorded: bool = False
    data: object = None
    #: No receipt says how it ended: it may have been paid for all the same.
    unknown: bool = False

    @property
    def good(self) -> bool:
        """Whether there is an answer that may be used."""
        return self.error is None


@dataclass(slots=True)
class Rows:
    """``texts``: the prompts to ask.  ``asks``: for each row the number of its prompt, or
    :data:`NOTHING`; then ``missing`` says why, by row."""

    texts: list[str] = field(default_factory=list)
    asks: array[int] = field(default_factory=lambda: array("q"))
    missing: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.asks)


def rows_of(frame: Frame, template: Template, *, dedupe: bool) -> Rows:
    """Return the prompts of a table.  A row with a missing cell, or with blank ones alone, asks
    nothing.

    Raises :class:`ArgumentError`, naming row and column, for a cell that cannot be sent."""
    columns = {
        name: texts(name, frame.column(name), frame.labels, frame.as_text)
        for name in template.columns
    }
    rows, known = Rows(), dict[str, int]()
    for number in range(len(frame.labels)):
        cells = {name: cells[number] for name, cells in columns.items()}
        missing = next((name for name, cell in cells.items() if cell is None), None)
        if missing is not None or not any(cell and cell.strip() for cell in cells.values()):
            rows.missing[number] = (
                f"{missing} is missing in this row"
                if missing is not None
                else f"{' and '.join(cells)} {'are' if len(cells) > 1 else 'is'} empty in this row"
            )
            rows.asks.append(NOTHING)
            continue
        prompt = template.render(cells)  # type: ignore[arg-type]
        at = known.setdefault(prompt, len(rows.texts)) if dedupe else len(rows.texts)
        if at == len(rows.texts):
            rows.texts.append(prompt)
        rows.asks.append(at)
    return rows


def keys_of(rows: Rows, labels: Sequence[object], make: Callable[[str], Prompt]) -> list[bytes]:
    """Return the ledger's key of each prompt's request (SHA-256), as :meth:`Question.key` does.

    Raises :class:`ArgumentError`, naming the row, if a request cannot be sent or kept."""
    from opg_magic.ledger.index import request_key
    from opg_magic.protocol.request_body import build_body
    from opg_magic.receipt.build import MAX_REQUEST_BYTES

    first: dict[int, int] = {}
    for number, at in enumerate(rows.asks):
        first.setdefault(at, number)
    keys: list[bytes] = []
    for at, text in enumerate(rows.texts):
        try:
            prompt = make(text)
            body = build_body(prompt)
        except PromptError as problem:
            raise ArgumentError(
                f"Row {labels[first[at]]!r}: {problem.message}", hint=problem.hint
            ) from None
        if len(body) > MAX_REQUEST_BYTES:
            raise ArgumentError(
                f"Row {labels[first[at]]!r}: its request has {len(body):,} bytes; at most "
                f"{MAX_REQUEST_BYTES:,} fit into a receipt. Nothing was sent."
            )
        keys.append(bytes.fromhex(request_key(prompt.kind, prompt.model, body)))
    return keys


def columns_of(
    rows: Rows, outcomes: Sequence[Outcome | None], *, is_data: bool, unasked: str
) -> tuple[list[Any], ...]:
    """Return four columns, a cell for each row: answer (by ``is_data`` its data), error, verdict,
    receipt.  ``unasked``: why a prompt has no outcome."""
    made: tuple[list[Any], ...] = ([], [], [], [])
    for number, at in enumerate(rows.asks):
        one = Outcome(error=rows.missing[number]) if at == NOTHING else outcomes[at]
        one = one or Outcome(error=unasked)
        value = (one.data if is_data else one.text) if one.good else None
        for column, cell in zip(made, (value, one.error, one.verdict, one.receipt), strict=True):
            column.append(cell)
    return made


def raise_first_failure(outcomes: Iterable[Outcome | None]) -> None:
    """Raise :class:`CallFailed` for the first prompt that failed, if one did."""
    first = next((one for one in outcomes if one is not None and not one.good), None)
    if first is not None:
        raise CallFailed(
            f"A row has no answer: {first.error}",
            hint='errors="column" keeps the others, with the reason beside this one.',
            receipt_id=first.receipt,
        )
