"""JSON with exactly one reading, and JSON as Python writes it.

Two parsers that disagree on one text are an attack (number 16): duplicate keys, ``NaN``, lone
surrogates and invalid UTF-8 are refused here, whatever the standard library would make of them."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from opg_magic.errors import MalformedMessage

MAX_DEPTH = 64

#: ``code`` of :class:`MalformedMessage` for text that different readers would read differently.
AMBIGUOUS = "ambiguous-json"
#: ``code`` for text that is no JSON at all.
NOT_JSON = "not-json"


def loads(text: str | bytes) -> Any:
    """Parse one JSON text; :class:`MalformedMessage` unless every reader would read the same.

    Code ``ambiguous-json``: duplicate keys, NaN or Infinity (spelt out, or a number too large for a
    double), lone surrogates, invalid UTF-8, nesting deeper than 64.  Code ``not-json``: anything
    else that does not parse."""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError:
            raise _ambiguous("the text is not valid UTF-8") from None
    elif not text.isascii() and _has_surrogate(text):
        raise _ambiguous("the text holds a lone surrogate")
    _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except MalformedMessage:
        raise
    except ValueError as error:
        raise MalformedMessage(f"not JSON: {error}", code=NOT_JSON) from None
    # A surrogate can only have come from an escape: the text itself was valid UTF-8.
    if ("\\ud" in text or "\\uD" in text) and _has_surrogate(json.dumps(value, ensure_ascii=False)):
        raise _ambiguous("the JSON holds a lone surrogate")
    return value


def loads_leniently(text: str) -> Any:
    """As Python reads it, for showing and never for judging; ValueError for what is no JSON or is
    nested too deep.

    Unlike ``json.loads`` it is safe where a program has raised the recursion limit.
    """
    try:
        _check_depth(text)
        return json.loads(text)
    except (MalformedMessage, RecursionError) as error:
        raise ValueError(str(error)) from None


def dumps_python(value: Any) -> str:
    """``json.dumps(value, sort_keys=True)``: Python's separators and ASCII escapes, which hosts
    hash."""
    return json.dumps(value, sort_keys=True)


def _ambiguous(message: str) -> MalformedMessage:
    return MalformedMessage(f"ambiguous JSON: {message}", code=AMBIGUOUS)


def _has_surrogate(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _ambiguous("an object names one key twice")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _ambiguous("a number is too large for a double")
    return value


def _no_constant(name: str) -> Any:
    raise _ambiguous(f"{name} is no JSON number")


def _check_depth(text: str) -> None:
    """Before parsing: where a program has raised the recursion limit, the decoder overflows the
    stack and dies."""
    # Counting brackets is cheap and bounds the depth from above, so that most texts need no walk.
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _BRACKETS.finditer(text):
        match text[token.start()]:
            case "[" | "{":
                depth += 1
                if depth > MAX_DEPTH:
                    raise _ambiguous(f"the JSON is nested deeper than {MAX_DEPTH}")
            case "]" | "}":
                depth -= 1


#: Brackets, and strings to skip those inside them.  Possessive, and open at the end, so that no
#: text takes long.
_BRACKETS = re.compile(r'[\[\]{}]|"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant
)
