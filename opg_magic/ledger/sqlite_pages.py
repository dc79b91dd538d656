"""Rows out of the pages of an SQLite file or of its write-ahead log, whatever became of the tree
that holds them.

SQLite itself reads a file through its tree and one log beside it.  Where two logs were written, or
half of the tree is another's, the pages still hold the rows: this reads them one by one
(https://sqlite.org/fileformat2.html)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: A column's value as SQLite stores it.
Value = None | int | float | str | bytes

#: Gives a page by its number; None if it is not there.
Lookup = Callable[[int], bytes | None]

_HEADER = b"SQLite format 3\x00"
_LEAF = 13
#: Longest row that is read, and pages of one row.
_MAX_ROW = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it lies in a page: its number in the table, and its values."""

    rowid: int
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """Pages of one file: ``pages`` are all versions, in order; ``latest`` the last of each
    number."""

    name: str
    page_size: int
    pages: tuple[tuple[int, bytes], ...]
    latest: dict[int, bytes]


def of_database(name: str, raw: bytes) -> Image:
    """The pages of a database file; of another file, pages that hold nothing."""
    size = (
        struct.unpack(">H", raw[16:18])[0] if raw.startswith(_HEADER) and len(raw) >= 100 else 4096
    )
    size = 65536 if size == 1 else size
    if size < 512 or size & (size - 1):
        size = 4096
    pages = tuple(
        (at // size + 1, raw[at : at + size]) for at in range(0, len(raw) - size + 1, size)
    )
    return Image(name, size, pages, dict(pages))


def of_log(name: str, raw: bytes) -> Image:
    """The pages that a write-ahead log holds of transactions that were committed."""
    if len(raw) < 32:
        return Image(name, 4096, (), {})
    magic, _version, size, _round, *_ = struct.unpack(">IIIIIIII", raw[:32])
    if magic & ~1 != 0x377F0682 or not 512 <= size <= 65536 or size & (size - 1):
        return Image(name, 4096, (), {})
    order = ">" if magic & 1 else "<"
    salt, check = raw[16:24], _checksum(order, (0, 0), raw[:24])
    if check != struct.unpack(">II", raw[24:32]):
        return Image(name, size, (), {})
    frames: list[tuple[int, bytes]] = []
    committed = 0
    for at in range(32, len(raw) - size - 24 + 1, size + 24):
        head, page = raw[at : at + 24], raw[at + 24 : at + 24 + size]
        number, pages_after = struct.unpack(">II", head[:8])
        check = _checksum(order, _checksum(order, check, head[:8]), page)
        if head[8:16] != salt or check != struct.unpack(">II", head[16:24]):
            break
        frames.append((number, page))
        if pages_after:  # the last frame of a transaction
            committed = len(frames)
    return Image(name, size, tuple(frames[:committed]), dict(frames[:committed]))


def _checksum(order: str, start: tuple[int, int], data: bytes) -> tuple[int, int]:
    one, two = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        one = (one + even + two) & 0xFFFFFFFF
        two = (two + odd + one) & 0xFFFFFFFF
    return one, two


def rows(number: int, page: bytes, lookup: Lookup) -> Iterator[Row]:
    """The rows of one page of a table; none of any other page.  What cannot be read is passed
    over."""
    start = 100 if number == 1 else 0
    if page[start] != _LEAF:
        return
    (count,) = struct.unpack(">H", page[start + 3 : start + 5])
    for index in range(count):
        place = start + 8 + 2 * index
        try:
            (at,) = struct.unpack(">H", page[place : place + 2])
            yield _cell(page, at, lookup)
        except (ValueError, IndexError, struct.error):
            continue


def _cell(page: bytes, at: int, lookup: Lookup) -> Row:
    length, at = _varint(page, at)
    rowid, at = _varint(page, at)
    if not 0 < length <= _MAX_ROW:
        raise ValueError("too long")
    usable = len(page)
    inline = length
    if length > usable - 35:
        least = (usable - 12) * 32 // 255 - 23
        inline = least + (length - least) % (usable - 4)
        if inline > usable - 35:
            inline = least
    payload = page[at : at + inline]
    if inline < length:
        (following,) = struct.unpack(">I", page[at + inline : at + inline + 4])
        payload += _overflow(following, length - inline, lookup)
    if len(payload) != length:
        raise ValueError("cut off")
    return Row(rowid - (1 << 64) if rowid >> 63 else rowid, tuple(_values(payload)))


def _overflow(number: int, length: int, lookup: Lookup) -> bytes:
    parts: list[bytes] = []
    while length > 0:
        page = lookup(number)
        if page is None:
            raise ValueError("a page is missing")
        (number,) = struct.unpack(">I", page[:4])
        parts.append(page[4 : 4 + length])
        length -= len(parts[-1])
    return b"".join(parts)


def _values(payload: bytes) -> Iterator[Value]:
    end, at = _varint(payload, 0)
    body = end
    while at < end:
        kind, at = _varint(payload, at)
        size = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind] if kind < 10 else (kind - 12) // 2
        raw = payload[body : body + size]
        if kind in (10, 11) or len(raw) != size:
            raise ValueError("no record")
        body += size
        if kind == 0:
            yield None
        elif kind == 7:
            yield struct.unpack(">d", raw)[0]
        elif kind < 10:
            yield kind - 8 if kind >= 8 else int.from_bytes(raw, "big", signed=True)
        else:
            yield raw.decode("utf-8") if kind % 2 else raw


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(9):
        byte = data[at + index]
        if index == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError("no number")
