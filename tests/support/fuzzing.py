"""Hypothesis strategies for hostile input: bytes spoilt here and there, JSON with parts replaced,
and rubbish."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

#: Examples a target; a long run: OPG_FUZZ_EXAMPLES=20000 python -m pytest tests/fuzz
EXAMPLES = int(os.environ.get("OPG_FUZZ_EXAMPLES", "150"))

FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

#: Pieces that parsers have stumbled over.
PIECES = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\n\n",
    b"\r",
    b"data: ",
    b"data: [DONE]\n\n",
    b'{"a":1,"a":2}',
    b"[" * 200,
    b'{"":' * 200,
    b"NaN",
    b"-0",
    b"1e999",
    b"9" * 5000,
    b"\\ud800",
    b"\xbf",
    b"\x9f\xff",
    b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xd8\x40",
    "\u202e\u0000\u2028".encode(),
]

Edit = tuple[str, float, float, bytes]
_EDITS = st.tuples(
    st.sampled_from(["replace", "insert", "delete", "repeat", "flip", "cut"]),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(PIECES) | st.binary(max_size=40),
)

#: Numbers that are no ordinary ones, texts that are no ordinary ones, and whatever else JSON can
#: hold.
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from(
        [
            -1,
            0,
            2**53,
            2**63,
            2**256,
            -(2**256),
            10**400,
            0.5,
            -0.0,
            1e300,
            "",
            "0x",
            "-1",
            "1" * 90,
        ]
    )
    | st.sampled_from(
        [
            "9999-12-31T23:59:59.999999Z",
            "0001-01-01T00:00:00.000000Z",
            "2026-05-04T12:00:00.000000Z",
        ]
    )
    | st.sampled_from(["1" * 78, "0", "spent", "batch", "individual", "https://a@b/c", "x\n"])
    | st.text(max_size=30)
    | st.binary(max_size=12).map(lambda raw: "0x" + raw.hex()),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def spoilt(*seeds: bytes) -> st.SearchStrategy[bytes]:
    """One of the seeds with a few edits, two of them spliced together, or bytes of no sense at
    all."""
    seed = st.sampled_from(seeds)
    edited = st.builds(edit, seed, st.lists(_EDITS, min_size=1, max_size=5))
    spliced = st.builds(
        lambda one, other, at: one[: int(at * len(one))] + other[int(at * len(other)) :],
        seed,
        seed,
        st.floats(0, 1),
    )
    return edited | spliced | st.binary(max_size=200) | st.sampled_from(PIECES)


def edit(raw: bytes, edits: list[Edit]) -> bytes:
    for kind, start, length, piece in edits:
        first = int(start * len(raw))
        last = min(len(raw), first + 1 + int(length * 40))
        if kind == "replace":
            raw = raw[:first] + piece + raw[last:]
        elif kind == "insert":
            raw = raw[:first] + piece + raw[first:]
        elif kind == "delete":
            raw = raw[:first] + raw[last:]
        elif kind == "repeat":
            raw = raw[:last] + raw[first:last] * 3 + raw[last:]
        elif kind == "cut":
            raw = raw[:first]
        elif raw:
            at = min(first, len(raw) - 1)
            raw = raw[:at] + bytes([raw[at] ^ (1 << int(length * 7))]) + raw[at + 1 :]
    return raw


def replaced(*documents: Any) -> st.SearchStrategy[Any]:
    """A JSON value with some of its parts replaced, taken away, doubled, or added."""
    changes = st.lists(
        st.tuples(
            st.sampled_from(["set", "drop", "add", "swap"]),
            st.integers(0, 10**6),
            st.integers(0, 10**6),
            ODD,
        ),
        min_size=1,
        max_size=3,
    )
    return st.builds(_change, st.sampled_from(documents), changes) | ODD


def _change(document: Any, changes: list[tuple[str, int, int, Any]]) -> Any:
    document = copy.deepcopy(document)
    for kind, number, other, value in changes:
        places = list(_places(document))
        if not places:
            return value
        holder, key = places[number % len(places)]
        if kind == "set":
            holder[key] = copy.deepcopy(value)
        elif kind == "drop":
            del holder[key]
        elif kind == "swap":
            their, name = places[other % len(places)]
            holder[key] = copy.deepcopy(their[name])
        elif isinstance(holder, dict):
            holder[str(other)] = copy.deepcopy(value)
        else:
            holder.insert(key, copy.deepcopy(value))
    return document


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items: Any = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def peak_of(work: Callable[[], Any]) -> int:
    """Most bytes of Python memory that ``work`` held at once, beyond what was held before."""
    import gc
    import tracemalloc

    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
