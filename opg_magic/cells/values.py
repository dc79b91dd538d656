"""A variable's value as the text that a prompt gets, or why it gets none.

A value that would be printed as something else than its author means (a table cut in the middle, a
missing value as "nan") is refused: nobody reads a prompt before it is paid for."""

from __future__ import annotations

import numbers
from typing import Any, NoReturn

from opg_magic.errors import PromptError

#: Values of many rows, by the names of their types, so that no library is imported for it.
_COLUMNS = ("DataFrame", "Series", "Index", "LazyFrame", "ndarray")
#: What to do about a missing value.
MISSING = "Give it a value first, or leave it out."
_LISTS = (list, tuple, set, frozenset, dict)


def as_text(name: str, value: Any, *, over: bool = False) -> str:
    """Return the text of a str, int or float, NumPy's as well.

    ``over``: the line has a way to ask for each row.  Raises :class:`PromptError`, naming the
    variable and what to write instead; nothing was sent."""
    # The base type's own text: a subclass must not decide what is sent.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__repr__(value)
    if value is not None and is_missing(value):
        raise PromptError(
            f"{name} is {_shown(value)}, a missing value; a str, int or float is needed. "
            "Nothing was sent.",
            hint=MISSING,
        )
    if isinstance(value, float):
        return float.__repr__(value)
    # NumPy's numbers come out of every table; its spans of time are none, though it counts them
    # among the integers.
    if isinstance(value, numbers.Real) and dtype_kind(value) in ("i", "u", "f"):
        return str(value)
    return _refuse(name, value, over=over)


def is_missing(value: Any) -> bool:
    """Whether a table means by it that there is no value: None, NaN, NaT or NA."""
    if value is None or type(value).__name__ in ("NaTType", "NAType"):
        return True
    try:
        return isinstance(value, numbers.Real) and bool(value != value)
    except Exception:  # a type of the user's own
        return False


def is_column(value: Any) -> bool:
    """Whether it has rows: a DataFrame, a Series, an array."""
    return type(value).__name__.endswith(_COLUMNS) and bool(getattr(value, "ndim", 1))


def _refuse(name: str, value: Any, *, over: bool) -> NoReturn:
    kind = type(value).__name__
    if is_column(value):
        of_one = {"DataFrame": f'{name}["column"].iloc[0]', "Series": f"{name}.iloc[0]"}
        hint = f"For one value: text = {of_one.get(kind, f'{name}[0]')}"
        if over:
            hint = f"To ask for each row: %%opg answers --over {name}. {hint}"
        raise PromptError(
            f"{name} is a {kind}{_size(value)}; a str, int or float is needed. Nothing was sent.",
            hint=hint,
        )
    hint = f"Make it a text first: text = str({name})"
    if value is None:
        hint = MISSING
    elif kind == "Answer":
        hint = f"Take its text first: text = {name}.text"
    elif kind == "ndarray" or dtype_kind(value) == "b":
        hint = f"Take the value in it first: value = {name}.item()"
    elif isinstance(value, _LISTS):
        hint = f"Make it a text first, for example: text = json.dumps({name})"
    raise PromptError(
        f"{name} is a {kind}; a str, int or float is needed. Nothing was sent.", hint=hint
    )


def dtype_kind(value: Any) -> str:
    """NumPy's letter for the type of a value of its own; "" of any other."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return kind if isinstance(kind, str) else ""


def _size(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple) or not all(isinstance(n, int) for n in shape):
        return ""
    rows = f" of {shape[0]:,} row{'' if shape[0] == 1 else 's'}" if shape else ""
    return rows + (
        f" and {shape[1]:,} column{'' if shape[1] == 1 else 's'}" if len(shape) == 2 else ""
    )


def _shown(value: Any) -> str:
    names = {"NaTType": "NaT", "timedelta64": "NaT", "NAType": "NA"}
    return names.get(type(value).__name__, "NaN")
