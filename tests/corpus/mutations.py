"""Receipts spoilt at random: whatever comes of one, every verifier must come to the same."""

from __future__ import annotations

import copy
import json
import os
import random
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from corpus.build import Case, redigested

#: How many, and from which seed: OPG_CORPUS_MUTATIONS=20000 OPG_CORPUS_SEED=7 python -m pytest
#: tests/corpus
COUNT = int(os.environ.get("OPG_CORPUS_MUTATIONS", "300"))
SEED = int(os.environ.get("OPG_CORPUS_SEED", "1"))

Path = tuple[str | int, ...]

NUMBERS: list[Any] = [
    0,
    -1,
    1,
    2**31,
    2**53,
    2**53 + 1,
    2**63,
    2**64,
    2**256,
    10**30,
    0.5,
    -0.0,
    1e16,
    1e-7,
    1e21,
    5e-324,
]
TEXTS: list[Any] = [
    "", " ", "0", "-0", "01", "1", "+1", "1e3", "1" * 78, "0x", "0X00", "0x" + "0" * 64,
    "0x" + "F" * 64, "0x0g", "é", "e\u0301", "\u0000", "\u2028", "\ud800", "\U0001f600",
    "a" * 5000, "\u202e", "true", "null", "spent", "unknown", "batch", "individual",
    "https://a@b/c", "https://h.test", "2026-05-04T12:00:00Z", "2026-05-04T12:00:00.000000Z",
    "2026-05-04T12:00:00.123456Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.000000Z",
    "2026-02-30T00:00:00.000000Z", "2026-05-04T24:00:00.000000Z", "AAAA", "AAA=", "AA==", "A",
    "AAAA\n", "____", "sha256:" + "0" * 64, "data: [DONE]\n\n", "data: {}\n\n", '{"a":1,"a":2}',
]  # fmt: skip
OTHERS: list[Any] = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [{}],
    {"": None},
    [None],
    {"a": [1, {"b": "c"}]},
]


def _places(value: Any, at: Path = ()) -> Iterator[Path]:
    if at:
        yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, (*at, index))


def _get(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _other_text(rng: random.Random, text: str) -> str:
    """A text like this one: a character less, more, doubled, another, or in the other case."""
    at = rng.randrange(len(text) + 1)
    piece = rng.choice(
        ["", "0", "f", "A", " ", "\n", ".", "Z", "é", "\ud83d", "\\", '"', "=", "\r\n", "\t"]
    )
    return rng.choice(
        [
            text[:at] + piece + text[at:],
            text[:at] + piece + text[at + 1 :],
            text[:at],
            text[at:],
            text.upper(),
            text.swapcase(),
            text + text,
            text.replace(rng.choice("01a:/.T"), piece),
        ]
    )


def _like(rng: random.Random, text: str) -> str | None:
    """Another text of the same kind: hex, base64, decimal or a time, with one character changed;
    None for prose."""
    if rng.random() < 0.3 or not re.fullmatch(r"(sha256:|0x)?[0-9A-Za-z+/_.:=-]{2,}", text):
        return None
    places = [at for at, char in enumerate(text) if char in "0123456789abcdef" and at >= 2]
    if not places:
        return None
    at = rng.choice(places)
    return text[:at] + rng.choice("0123456789") + text[at + 1 :]


def _spoil(rng: random.Random, document: dict[str, Any], donor: dict[str, Any]) -> None:
    path = rng.choice(list(_places(document)))
    parent, key = _get(document, path[:-1]), path[-1]
    old = parent[key]

    def from_donor() -> Any:
        places = [place for place in _places(donor) if place[-2:] == path[-2:]]
        return copy.deepcopy(_get(donor, rng.choice(places))) if places else None

    def near() -> Any:
        if isinstance(old, bool):
            return not old
        if isinstance(old, int | float):
            return old + rng.choice([-1, 1, 0.5, 60, -3600, 86400])
        if isinstance(old, str):
            return _like(rng, old) or _other_text(rng, old)
        if isinstance(old, list):
            return rng.choice([old[::-1], old + old, old[:-1], [*old, None]])
        if isinstance(old, dict):
            return {
                **old,
                rng.choice(["later", "", "__proto__", "constructor", "é"]): rng.choice(OTHERS),
            }
        return rng.choice([0, "", {}])

    makers: list[Callable[[], Any]] = [
        lambda: rng.choice(NUMBERS),
        lambda: rng.choice(TEXTS),
        lambda: copy.deepcopy(rng.choice(OTHERS)),
    ]
    kind = rng.random()
    if kind < 0.45:
        # What stands in the same place of another receipt: most often readable, and wrong here.
        parent[key] = from_donor()
    elif kind < 0.85:
        parent[key] = near()
    elif kind < 0.95 or not isinstance(parent, dict):
        parent[key] = rng.choice(makers)()
    else:
        del parent[key]


def _written(rng: random.Random, document: dict[str, Any]) -> str:
    """Its JSON in one of the ways there are; now and then spoilt as text."""
    items = list(document.items())
    if rng.random() < 0.2:
        rng.shuffle(items)
    text = json.dumps(
        dict(items), ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, None, 1])
    )
    if rng.random() < 0.05:
        at = rng.randrange(len(text))
        piece = rng.choice(
            [
                '"',
                "\\",
                ",",
                "}",
                "1e5",
                "-0",
                "NaN",
                "1.0",
                "\\u0041",
                "\\ud800",
                " ",
                "\ufeff",
                '"a":1,',
                "//",
            ]
        )
        text = text[:at] + piece + text[at + rng.randrange(2) :]
    return text


def mutations(bases: list[Case], count: int = COUNT, seed: int = SEED) -> Iterator[Case]:
    """``count`` spoilt receipts, most of them with a digest that fits, so that what was spoilt is
    judged."""
    rng = random.Random(seed)
    documents = []
    for base in bases:
        try:
            documents.append((base, json.loads(base.text)))
        except ValueError:
            continue
    readable = [
        (base, document)
        for base, document in documents
        if isinstance(document, dict) and base.want is not None
    ]
    made = 0
    while made < count:
        base, document = rng.choice(readable)
        document = copy.deepcopy(document)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            _spoil(rng, document, rng.choice(readable)[1])
        if rng.random() < 0.8:
            with suppress(
                ValueError, RecursionError
            ):  # what no digest can be made of keeps the old one
                document = redigested(document)
        try:
            text = _written(rng, document)
            text.encode("utf-8")
        except UnicodeEncodeError:
            text = json.dumps(document)
        made += 1
        yield replace(
            base,
            name=f"mutation {seed}.{made} of {base.name}",
            want=None,
            text=text,
            fails=frozenset(),
        )
