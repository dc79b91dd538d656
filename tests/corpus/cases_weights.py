"""Runs of open weights: what their figures come to, and runs that are not this call's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from corpus.build import (
    ANNA,
    ASKING,
    CALLS_TEXT,
    FRAGMENTS,
    READING,
    WITH_TOOLS,
    Case,
    F,
    P,
    V,
    case,
    document_of,
    redigested,
    written,
)
from support.runs import NAT, TEXT, run_over
from support.signing import CHAT, COMPLETION, TOOLS, evidence, reply, stream

from opg_magic.models import Evidence, VerdictStatus
from opg_magic.verify.policy import DEFAULT, requiring

RUNNING = replace(ASKING, asked=ASKING.asked | {"weights"})
REQUIRING = requiring(DEFAULT, ["weights"])
HOT = {**CHAT, "temperature": 0.7}


def weights() -> Iterator[Case]:
    cold, hot = _call(CHAT), _call(HOT)
    yield from _at_zero(cold)
    yield from _at_a_temperature(hot)
    yield from _of_another_call(cold, hot)
    yield from _that_cannot_be(cold, hot)
    yield from _who_ran_it(cold)


def _call(body: Mapping[str, Any], text: str = TEXT) -> Evidence:
    return evidence(stream(ANNA, body, pieces=(text[:9], text[9:])), body)


def _made(name: str, want: VerdictStatus, call: Evidence, *misses: Any, **given: Any) -> Case:
    run = run_over(call, misses, **given)
    fails = "weights" if want is F else ""
    return case(f"weights, {name}", want, replace(call, weights=run), RUNNING, fails=fails)


def _at_zero(call: Evidence) -> Iterator[Case]:
    yield _made("every token a first choice", V, call)
    yield _made("near ties", V, call, (3, 2, 250_000), (9, 2, 299_999), (100, 3, 300_000))
    yield _made("rounded up in words", V, call, (3, 2, 10_001))
    # tolerance x (1 + 101 / 300) may go beyond: 401,000 together
    yield _made("as much beyond as may be", V, call, (3, 2, 701_000))
    yield _made("attack_33 a little more", F, call, (3, 2, 701_001))
    yield _made("many a little beyond", F, call, *((n, 2, 350_000) for n in range(0, 90, 10)))
    yield _made("attack_31 far from the first", F, call, *((n, 9, NAT) for n in range(31)))
    yield _made("attack_35 one token far off", F, call, (50, 40_000, 21 * NAT))
    yield _made("the same build, so no gap", F, call, (3, 2, 250_000), tolerance=20_000)
    yield _made("no end was looked at", V, call, end=False)
    yield _made("only the end", V, call, tokens=0)
    yield _made("weights without a template", V, call, template_sha256=None)


def _at_a_temperature(call: Evidence) -> Iterator[Case]:
    figures: dict[str, Any] = {"surplus": 5 * NAT, "variance": 40 * NAT, "outside": 0}
    misses = ((1, 3, 2 * NAT), (4, 2, NAT), (7, 51, 9 * NAT), (8, 51, 9 * NAT))
    yield _made("heated, as likely as its own", V, call, *misses, **figures)
    yield _made("heated, two outside", V, call, *misses, **figures | {"outside": 3})
    yield _made("attack_32 outside the sampler", F, call, *misses, **figures | {"outside": 4})
    yield _made("attack_34 too unlikely", F, call, *misses, **figures | {"surplus": 29 * NAT})
    yield _made("attack_34 too likely", F, call, *misses, **figures | {"surplus": -29 * NAT})
    no_choice: dict[str, Any] = {"surplus": 900_000, "variance": 0, "outside": 0}
    yield _made("heated, and no choice", V, call, **no_choice)


def _of_another_call(cold: Evidence, hot: Evidence) -> Iterator[Case]:
    other = "00" * 32
    yield _made("attack_40 another request", F, cold, request_sha256=other)
    yield _made("attack_40 another answer", F, cold, answer_sha256=other)
    yield _made("no token", F, cold, tokens=0, end=False)
    yield _made("more allowed than rounding", F, cold, (3, 9, 900_000), tolerance=1_000_000)
    yield _made("a miss past the end", F, cold, (101, 2, 5))
    yield _made("misses out of order", F, cold, (7, 2, 5), (3, 2, 5))
    yield _made("a miss twice", F, cold, (7, 2, 5), (7, 2, 5))
    yield _made("a miss of rank one", F, cold, (7, 1, 0))
    yield _made("a likelihood at temperature 0", F, cold, surplus=1, variance=1, outside=0)
    yield _made("no likelihood at a temperature", F, hot)
    raw = stream(ANNA, WITH_TOOLS, pieces=(), fragments=FRAGMENTS, output=CALLS_TEXT)
    called = evidence(raw, WITH_TOOLS)
    yield _made("an answer by tool call", F, called)


def _that_cannot_be(cold: Evidence, hot: Evidence) -> Iterator[Case]:
    """Figures that allow themselves more than any run of weights over this answer would."""
    size = len(TEXT.encode())
    yield _made("attack_40 more tokens than bytes", F, cold, (3, 9, 550_000), tokens=size + 2)
    yield _made("a token for every byte, and one before them", V, cold, tokens=size + 1)
    bees = "\N{HONEYBEE}" * 5
    yield _made("bytes are counted, not characters", V, _call(CHAT, bees), tokens=21)
    yield _made("one token too many for such bytes", F, _call(CHAT, bees), tokens=22)
    heated: dict[str, Any] = {"surplus": 29 * NAT, "variance": 40 * NAT, "outside": 0}
    yield _made("attack_40 more chance", F, hot, **heated | {"variance": 439_956_001})
    most = {"surplus": 94 * NAT, "variance": 439_956_000}
    yield _made("as much chance as may be", V, hot, **heated | most)
    outside: dict[str, Any] = heated | {"surplus": 5 * NAT, "outside": 2}
    yield _made("more outside than missed", F, hot, (2, 60, NAT), **outside)
    likely = {"surplus": -7_378_000, "variance": 8 * NAT}
    yield _made("as likely as can be", V, hot, tokens=1, **heated | likely)
    likely["surplus"] -= 1
    yield _made("likelier than can be", F, hot, tokens=1, **heated | likely)
    for changed in ({"top_k": 0}, {"top_p": "1.000000"}, {"min_p": "0.000000"}, {"top_p": "-0.95"}):
        (name, value), *_ = changed.items()
        yield _made(f"{name} {value}", F, cold, **changed)
    narrow = {**CHAT, "top_p": 0.5}
    yield _made("the top_p that was sent", V, _call(narrow), top_p="0.500000")
    yield _made("not the top_p that was sent", F, _call(narrow))
    for odd in (True, 0, 2, None, "0.5"):
        yield _made(f"top_p {odd!r} was sent", V, _call({**CHAT, "top_p": odd}))
    yield _made("another model's name", F, cold, model="gpt-5-nano")
    long = {**CHAT, "model": "\N{HONEYBEE}" * 300}
    yield _made("a name that is cut", V, _call(long), model="\N{HONEYBEE}" * 256)
    for name, form, want in (
        ("a schema", {"response_format": {"type": "json_object"}}, F),
        ("functions that were not called", {"tools": TOOLS}, F),
        ("plain text asked for", {"response_format": {"type": "text"}, "tools": []}, V),
    ):
        yield _made(name, want, _call({**CHAT, **form}))
    prompt = evidence(reply(ANNA, COMPLETION, kind="completion"), COMPLETION, kind="completion")
    yield _made("no chat", F, prompt)


def _who_ran_it(call: Evidence) -> Iterator[Case]:
    good = replace(call, weights=run_over(call))
    yield case("weights, by the author's word", V, good, ASKING)
    yield case("weights, required and re-run", V, good, RUNNING, REQUIRING)
    yield case("weights, required and only recorded", P, good, ASKING, REQUIRING)
    yield case("weights, required and nobody ran them", P, call, RUNNING, REQUIRING)
    yield case("weights, and no registry", P, good, replace(READING, asked=frozenset({"weights"})))
    bad = replace(call, weights=run_over(call, [(5, 7, 9 * NAT)]))
    yield case("weights, a failure by the author's word", F, bad, ASKING, fails="weights")
    later = document_of(good)
    without = {**later, "weights": {**later["weights"], "tokens": [-1]}}
    yield Case("weights, no token has that id", None, written(redigested(without)))
