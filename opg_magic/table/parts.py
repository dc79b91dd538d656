"""A part of a table, where it is worked on: its prompts, and the columns that come of them.  This
runs on workers.  It holds no key and sends nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opg_magic.errors import ArgumentError
from opg_magic.settings import prices
from opg_magic.table.cells import first_kind
from opg_magic.table.frames import Frame, frame_of
from opg_magic.table.question import Question
from opg_magic.table.rows import Outcome, columns_of, raise_first_failure, refuse_unsendable

#: The kind of the columns that hold text: pandas' own, which parquet can write.
_TEXT = "string[pyarrow]"


@dataclass(frozen=True, slots=True)
class Survey:
    """What a part comes to, before anything is asked.

    ``prompts``: the key of each, and about how many tokens its text has; ``first``: one of them.
    ``kinds``: of each column that the prompt names, what the first cell holds, and in which row.
    ``refused``: message and hint of what cannot be sent."""

    rows: int = 0
    missing: int = 0
    prompts: dict[bytes, int] = field(default_factory=dict)
    first: str | None = None
    kinds: dict[str, tuple[str, str]] = field(default_factory=dict)
    refused: tuple[str, str | None] | None = None


def survey(part: Any, question: Question) -> Survey:
    """Return what a part of the table comes to."""
    frame = frame_of(part, empty=True)
    try:
        rows = question.rows(frame)
        refuse_unsendable(rows, frame.labels, question.prompt)
    except ArgumentError as problem:
        return Survey(len(frame.labels), refused=(problem.message, problem.hint))
    kinds = {
        name: first_kind(frame.column(name), frame.labels) for name in question.template.columns
    }
    return Survey(
        rows=len(rows),
        missing=len(rows.missing),
        prompts={question.key(text): prices.estimate_tokens(text) for text in rows.texts},
        first=rows.texts[0] if rows.texts else None,
        kinds={name: kind for name, kind in kinds.items() if kind is not None},
    )


def ask_part(part: Any, question: Question, ask: Callable[[Sequence[str]], list[Outcome]]) -> Any:
    """Return a part of the table with its new columns.  Raises CallFailed for the first row that
    failed where the table ends there."""
    frame = frame_of(part, empty=True)
    rows = question.rows(frame)
    outcomes = ask(rows.texts) if rows.texts else []
    if question.end_at_failure:
        raise_first_failure(outcomes)
    columns = columns_of(rows, outcomes, is_data=question.is_data, unasked="not asked")
    return extended(frame, question, columns)


def extended(frame: Frame, question: Question, columns: Sequence[list[Any]]) -> Any:
    """Return a part with its new columns, as pandas' frame."""
    made = frame.extended(question.columns(columns))
    for number, name in enumerate(question.added):
        if number or not question.is_data:
            made[name] = made[name].astype(_TEXT)
    return made
