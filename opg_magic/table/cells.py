"""What a cell of a table is in a prompt: its text, nothing (missing), or an error that names the
row and the column."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from opg_magic.errors import ArgumentError

#: Bytes of one cell: more is rarely meant, and no model reads it.
MOST_BYTES = 1_000_000
#: Half of a character of UTF-16: it has no UTF-8.
_LONE = re.compile("[\ud800-\udfff]")


def is_missing(value: Any) -> bool:
    """Return whether a cell holds nothing: None, NaN, NaT, ``pandas.NA``."""
    if value is None:
        return True
    if isinstance(value, (str, bytes, bool)):
        return False
    try:
        return bool(value != value)
    except Exception:  # NA; a signalling NaN; an array; a type of the user's own
        return type(value).__name__ == "NAType" or _is_nan(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, Decimal) and value.is_nan()


def texts(
    column: str, values: Sequence[Any], labels: Sequence[Any], as_text: Callable[[str], str]
) -> list[str | None]:
    """Return the text of each cell of a column, None where it is missing.  ``as_text`` gives code
    that makes a column text.

    Raises :class:`ArgumentError`, which names the row and the column, for a cell that is no plain
    value, is of another kind than those before it, has no UTF-8, or is longer than
    :data:`MOST_BYTES`."""
    made: list[str | None] = []
    first: tuple[str, Any] | None = None
    for label, value in zip(labels, values, strict=True):
        if is_missing(value):
            made.append(None)
            continue
        kind = _kind(value)
        where = f"Row {_shown(label)}, column {column!r}"
        if kind is None:
            raise ArgumentError(
                f"{where} holds a {type(value).__name__}, which is no plain value. "
                "Nothing was sent.",
                hint="Make it a text first.",
            )
        if first is None:
            first = kind, label
        elif kind != first[0]:
            raise ArgumentError(
                f"{where} holds a {kind}, and row {_shown(first[1])} a {first[0]}. "
                "Nothing was sent.",
                hint=f"Make the column one kind, as in: {as_text(column)}",
            )
        text = _text(value)
        if text is None:
            raise ArgumentError(
                f"{where} holds a {kind} that cannot be written as text. Nothing was sent.",
                hint="Make it a text first.",
            )
        if not text.isascii() and _LONE.search(text):
            raise ArgumentError(
                f"{where} holds a lone surrogate, which is not text. Nothing was sent.",
                hint="Read the data again in its encoding, or send what is whole of it.",
            )
        if len(text) > MOST_BYTES // 4 and len(text.encode()) > MOST_BYTES:
            raise ArgumentError(
                f"{where} holds {len(text):,} characters; a cell may have {MOST_BYTES:,} bytes. "
                "Nothing was sent.",
                hint="Send a part of it, or a summary.",
            )
        made.append(text)
    return made


def first_kind(values: Sequence[Any], labels: Sequence[Any]) -> tuple[str, str] | None:
    """Return the kind of a column's first cell that holds something, and its row's label, shown;
    None where no cell does."""
    for label, value in zip(labels, values, strict=True):
        if not is_missing(value):
            return _kind(value) or type(value).__name__, _shown(label)
    return None


def _kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return "truth value"
    if isinstance(value, (numbers.Real, Decimal)):
        return "number" if _is_finite(value) else None
    if isinstance(value, (datetime, date, time, timedelta)):
        return "time"
    return None


def _is_finite(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite()
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return True
    except Exception:  # a type of the user's own
        return False


def _text(value: Any) -> str | None:
    """None where it cannot be written: a whole number of more digits than Python writes."""
    try:
        # The base type's own text: a subclass must not decide what is sent.
        return str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:
        return None


def _shown(label: Any) -> str:
    text = repr(label)
    return text if len(text) <= 60 else text[:57] + "..."
