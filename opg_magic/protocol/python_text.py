"""``str`` of a parsed JSON value as some version of Python writes it, whatever Python this is.

``repr`` escapes what is not printable by the Unicode data of its Python, so that hosts on different
Pythons hash one content list differently.  Since Unicode 14.0 (Python 3.11, the oldest that this
runs on) characters were only added."""

from __future__ import annotations

import json
from bisect import bisect_right
from functools import cache
from importlib import resources
from typing import Any

#: Unicode's version in Python 3.11, then in 3.12, 3.13, 3.14, 3.15 and after.
OLDEST = "14.0"
NEWER = ("15.0", "15.1", "16.0", "17.0", "18.0")

_SHORT = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def python_text(value: Any, unicode: str = OLDEST) -> str:
    """``str(value)`` of parsed JSON in a Python with this version of Unicode."""
    if isinstance(value, str):
        return value
    # Without such a character all Pythons agree.
    return _repr(value, unicode) if varies(value) else str(value)


def varies(value: Any) -> bool:
    """Whether Pythons write this differently."""
    if isinstance(value, str):
        return not value.isascii() and any(_since(char) is not None for char in value)
    if isinstance(value, list):
        return any(map(varies, value))
    return isinstance(value, dict) and any(
        varies(key) or varies(item) for key, item in value.items()
    )


def _repr(value: Any, unicode: str) -> str:
    if isinstance(value, str):
        return _repr_string(value, unicode)
    if isinstance(value, list):
        return f"[{', '.join(_repr(item, unicode) for item in value)}]"
    if isinstance(value, dict):
        pairs = (f"{_repr(k, unicode)}: {_repr(v, unicode)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    return repr(value)


def _repr_string(text: str, unicode: str) -> str:
    quote = '"' if "'" in text and '"' not in text else "'"
    return f"{quote}{''.join(_shown(char, quote, unicode) for char in text)}{quote}"


def _shown(char: str, quote: str, unicode: str) -> str:
    if char == quote:
        return f"\\{char}"
    if char in _SHORT:
        return _SHORT[char]
    since = _since(char)
    if (
        char.isprintable()
        if since is None
        else unicode != OLDEST and NEWER.index(since) <= NEWER.index(unicode)
    ):
        return char
    code = ord(char)
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def _since(char: str) -> str | None:
    """The version of Unicode that added this printable character; None if it is not newer than
    14.0."""
    code = ord(char)
    starts, ranges = _added()
    at = bisect_right(starts, code) - 1
    return ranges[at][1] if at >= 0 and code <= ranges[at][0] else None


@cache
def _added() -> tuple[tuple[int, ...], tuple[tuple[int, str], ...]]:
    """Where each range begins; where it ends, and its version."""
    text = (
        resources.files("opg_magic.protocol")
        .joinpath("unicode_added.json")
        .read_text(encoding="ascii")
    )
    found: list[tuple[int, int, str]] = []
    for version, ranges in json.loads(text).items():
        for part in ranges.split():
            first, _, last = part.partition("-")
            found.append((int(first, 16), int(last or first, 16), version))
    found.sort()
    return tuple(start for start, _, _ in found), tuple((end, version) for _, end, version in found)
