"""A caller's values in canonical form, or one line that names the argument: before anything is
signed or sent.

What a person passes comes out of notebooks and tables.  NumPy scalars are taken for the values that
they are; NaN, ``None`` where a value is needed, bytes, a column, or a truth value where a number is
meant are refused.  Pure."""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

from opg_magic.errors import ArgumentError
from opg_magic.models.money import parse_units
from opg_magic.models.networks import OPG_DECIMALS

#: What :class:`opg_magic.models.Prompt` may be.
KINDS = ("chat", "completion")
SETTLEMENTS = ("private", "batch")
POLICIES = ("default", "strict", "audit")
ROUTES = ("direct", "private")

#: The most OPG that an argument may name: whatever is larger is a mistake in the unit.
MOST_OPG = 10**12


def text(name: str, value: Any, *, empty: bool = False) -> str:
    """An exact ``str``; not empty, unless that is allowed."""
    if not isinstance(value, str):
        refuse(name, "a text", value)
    # The base type's own text: a subclass must not decide what is sent.
    plain = str.__str__(value)
    if not empty and not plain.strip():
        refuse(name, "a text that is not empty", plain)
    return plain


def name(name: str, value: Any) -> str:
    """What :func:`text` gives, in UTF-8: no frame or file can hold another name."""
    plain = text(name, value)
    if not plain.isascii() and plain.encode("utf-8", "replace").decode() != plain:
        refuse(name, "a text in Unicode", plain)
    return plain


def optional_text(name: str, value: Any, *, empty: bool = False) -> str | None:
    """None, or what :func:`text` gives."""
    return None if value is None else text(name, value, empty=empty)


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of ``choices``, exactly as written there."""
    if not isinstance(value, str) or str.__str__(value) not in choices:
        refuse(name, f"{', '.join(choices[:-1])} or {choices[-1]}", value)
    return str.__str__(value)


def flag(name: str, value: Any) -> bool:
    """True or False; 0, 1 and words are not."""
    if not isinstance(value, bool) and not _is_numpys_bool(value):
        refuse(name, "True or False", value)
    return bool(value)


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """An exact ``int`` from ``low`` to ``high``, of any integer type but ``bool``."""
    meant = (
        f"a whole number of at least {low}"
        if high is None
        else f"a whole number from {low} to {high}"
    )
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        refuse(name, meant, value)
    try:
        number = int(value)
    except Exception:  # NumPy counts a span of time among the integers; a type of one's own may raise whatever it likes
        refuse(name, meant, value)
    if number < low or (high is not None and number > high):
        refuse(name, meant, number)
    return number


def number(name: str, value: Any, low: float, high: float, *, unit: str = "") -> float:
    """A finite ``float`` from ``low`` to ``high``, of any real type but ``bool``."""
    bounds = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
    meant = f"a number{unit and f' of {unit}'} {bounds}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real | Decimal):
        refuse(name, meant, value)
    try:
        found = float(value)
    except Exception:  # as above
        refuse(name, meant, value)
    if not (math.isfinite(found) and low <= found <= high):
        refuse(name, meant, value)
    return found or 0.0  # -0.0 would be written, and hashed, as such


def texts(name: str, value: Any) -> tuple[str, ...]:
    """A list of texts, none of them empty, as a tuple; one text alone would be a list of
    letters."""
    if not _is_list(value) or not all(isinstance(item, str) and item for item in value):
        refuse(name, "a list of texts that are not empty", value)
    return tuple(str.__str__(item) for item in value)


def objects(
    name: str, value: Any, *, meant: str = "a list of objects (dicts)"
) -> tuple[Mapping[str, Any], ...]:
    """A list of mappings, as a tuple."""
    if not _is_list(value) or not all(isinstance(item, Mapping) for item in value):
        refuse(name, meant, value)
    return tuple(value)


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    """A mapping whose keys are texts."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        refuse(name, "an object (a dict whose keys are texts)", value)
    return value


def opg(name: str, value: Any) -> int:
    """An amount of OPG as base units.  A float is meant as written: by its shortest decimal
    form."""
    meant = "an amount of OPG, such as 0.5"
    if isinstance(value, bool) or not isinstance(value, str | Decimal | numbers.Real):
        refuse(name, meant, value)
    try:
        plain = (
            str.__str__(value) if isinstance(value, str) else f"{_bounded(Decimal(str(value))):f}"
        )
        units = parse_units(plain, OPG_DECIMALS)
        _bounded(Decimal(units).scaleb(-OPG_DECIMALS))
        return units
    except (ValueError, ArithmeticError):
        refuse(name, meant, value)


def _bounded(amount: Decimal) -> Decimal:
    if not (amount.is_finite() and 0 <= amount <= MOST_OPG):
        raise ValueError("out of range")
    return amount


def refuse(name: str, meant: str, value: Any, *, hint: str | None = None) -> NoReturn:
    """One line: the argument, what it may be, and what it was."""
    raise ArgumentError(
        f"{name} must be {meant}, not {shown(value)}. Nothing was sent.", hint=hint
    ) from None


def shown(value: Any) -> str:
    """A value in one short line: scalars as they are written, everything else by its type."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        plain = str.__str__(value)
        return ascii(plain if len(plain) <= 40 else plain[:39] + "…")
    if isinstance(value, numbers.Number) or _is_numpys_bool(value):
        try:
            return str(value)[:40]
        except Exception:  # an integer of more digits than Python writes
            return "a number too long to show"
    return f"a {type(value).__name__}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(
        value, str | bytes | bytearray | memoryview
    )


def _is_numpys_bool(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.bool_)


__all__ = ["choice", "flag", "mapping", "name", "number", "objects", "opg", "optional_text", "refuse", "shown", "text",
           "texts", "whole"]  # fmt: skip
