"""A part of a table, where it is worked on: its prompts, and the columns that come of them.  This
runs on workers.  It holds no key and sends nothing itself."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opg_magic.errors import ArgumentError
from opg_magic.settings import prices
from opg_magic.table.cells import first_kind
from opg_magic.table.frames import Frame, frame_of
from opg_magic.table.question import Question
from opg_magic.table.rows import Outcome, columns_of, keys_of, raise_first_failure

#: The kind of the columns that hold text: pandas' own, which parquet can write.
_TEXT = "string[pyarrow]"
#: Where an equal prompt stands: the number of its part, and how many equal ones are before it.
_PLACE = struct.Struct(">II")
#: Bytes of a place.
PLACE_BYTES = _PLACE.size

#: Asks prompts, each with its place; an empty place where equal prompts are asked once.
Ask = Callable[[Sequence[str], Sequence[bytes]], list[Outcome]]


@dataclass(frozen=True, slots=True)
class Survey:
    """What a part comes to, before anything is asked.

    ``prompts``: the key and place of each, and about how many tokens its text has; ``first``: one
    of them.  ``kinds``: of each column that the prompt names, what the first cell holds, and in
    which row.  ``refused``: message and hint of what cannot be sent."""

    rows: int = 0
    missing: int = 0
    prompts: dict[bytes, int] = field(default_factory=dict)
    first: str | None = None
    kinds: dict[str, tuple[str, str]] = field(default_factory=dict)
    refused: tuple[str, str | None] | None = None


def survey(part: Any, number: int, question: Question) -> Survey:
    """Return what a part of the table comes to."""
    try:
        frame = frame_of(part, empty=True)
        rows = question.rows(frame)
        keys = keys_of(rows, frame.labels, question.prompt)
    except ArgumentError as problem:
        return Survey(refused=(problem.message, problem.hint))
    kinds = {
        name: first_kind(frame.column(name), frame.labels) for name in question.template.columns
    }
    placed = zip(keys, rows.texts, _places(rows.texts, question, number), strict=True)
    return Survey(
        rows=len(rows),
        missing=len(rows.missing),
        prompts={key + place: prices.estimate_tokens(text) for key, text, place in placed},
        first=rows.texts[0] if rows.texts else None,
        kinds={name: kind for name, kind in kinds.items() if kind is not None},
    )


def _places(texts: Sequence[str], question: Question, number: int) -> list[bytes]:
    if question.dedupe:
        return [b""] * len(texts)
    before: Counter[str] = Counter()
    made: list[bytes] = []
    for text in texts:
        made.append(_PLACE.pack(number, before[text]))
        before[text] += 1
    return made


def ask_part(part: Any, number: int, question: Question, columns: Sequence[str], ask: Ask) -> Any:
    """Return a part of the table with its new columns.  Raises ArgumentError, before anything is
    asked, for one whose ``columns`` are other ones, and CallFailed for the first row that failed
    where the table ends there."""
    frame = frame_of(part, empty=True)
    if frame.columns != tuple(columns):
        # Dask would refuse what comes back, after it was paid for.
        raise ArgumentError(
            f"A partition has the columns {_listed(frame.columns)}; the table has "
            f"{_listed(columns)}. Nothing of it was sent.",
            hint="Make the partitions alike, or correct the table's meta.",
        )
    rows = question.rows(frame)
    outcomes = ask(rows.texts, _places(rows.texts, question, number)) if rows.texts else []
    if question.end_at_failure:
        raise_first_failure(outcomes)
    made = columns_of(rows, outcomes, is_data=question.is_data, unasked="not asked")
    return extended(frame, question, made)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(one[:40]) for one in names[:12])
    return shown + ", …" if len(names) > 12 else shown or "(none)"


def ask_alone(part: Any, number: int, question: Question, ask: Ask) -> None:
    """Ask a part of the table.  What came is in the ledger of the process that asks."""
    rows = question.rows(frame_of(part, empty=True))
    if rows.texts:
        ask(rows.texts, _places(rows.texts, question, number))


def extended(frame: Frame, question: Question, columns: Sequence[list[Any]]) -> Any:
    """Return a part with its new columns, as pandas' frame."""
    made = frame.extended(question.columns(columns))
    for number, name in enumerate(question.added):
        if number or not question.is_data:
            made[name] = made[name].astype(_TEXT)
    return made
