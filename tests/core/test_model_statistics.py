"""The test behind ``opg audit-model``: exact, quiet where nothing differs, and honest."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opg_magic.audit import model_battery
from opg_magic.audit.model_statistics import (
    LEVEL,
    Asked,
    compare,
    fewest,
    in_words,
    missed,
    p_in_words,
    p_value,
)

_ANSWERS = st.lists(
    st.tuples(st.lists(st.sampled_from("abc"), min_size=2, max_size=2), st.sampled_from("abc")),
    min_size=1,
    max_size=5,
)


@given(_ANSWERS)
def test_p_is_the_share_of_all_permutations(drawn: list[tuple[list[str], str]]) -> None:
    asked = [Asked(tuple(reference), audited) for reference, audited in drawn]
    score = sum(one.score for one in asked)
    pools = [(*one.reference, one.audited) for one in asked]
    choices = list(itertools.product(*(range(len(pool)) for pool in pools)))
    high = sum(
        sum(sum(other != pool[i] for other in pool) for pool, i in zip(pools, chosen, strict=True))
        >= score
        for chosen in choices
    )
    assert p_value(asked) == pytest.approx(high / len(choices))


@pytest.mark.parametrize("flips", [0.0, 0.05, 0.3, 0.9])
def test_false_alarms_are_as_rare_as_stated_however_unsteady_the_model_is(flips: float) -> None:
    draw = random.Random(13)

    def one_model() -> str:
        return draw.choice("bcdefg") if draw.random() < flips else "a"

    runs = 1500
    p = [
        p_value(Asked((one_model(), one_model(), one_model()), one_model()) for _ in range(20))
        for _ in range(runs)
    ]
    for level in (LEVEL, 0.05, 0.2):
        alarms = sum(value <= level for value in p)
        assert alarms <= runs * level + 3 * math.sqrt(runs * level)


def test_a_wholly_different_model_has_one_chance_in_all() -> None:
    assert p_value([Asked(("a", "a", "a"), "b")] * 6) == pytest.approx(4.0**-6)
    assert p_value([Asked(("a", "a", "a"), "a")] * 6) == 1
    assert compare([Asked(("a", "a", "a"), "b")] * 6).sentence == (
        "Differs from the reference: p = 0.00024."
    )
    for repeats in (2, 3, 4):
        fewer = [Asked(("a",) * repeats, "b")] * (fewest(repeats) - 1)
        assert p_value(fewer) > LEVEL >= p_value([*fewer, fewer[0]])


def test_what_is_missed_is_as_counted_by_hand() -> None:
    # Of steady answers, four that differ are noticed (4^-4 < 0.01) and three are not.
    n = 60
    exact = sum(math.comb(n, k) * 0.1**k * 0.9 ** (n - k) for k in range(4))
    assert missed([("a", "a", "a")] * n, agreeing=0.9) == pytest.approx(exact, abs=0.025)
    assert missed([("a", "a", "a")] * n, agreeing=1.0) == 1
    assert missed([("a", "a", "a")] * n, agreeing=0.0) == 0


def test_the_sentence_says_what_would_be_missed() -> None:
    assert compare([Asked(("a", "a", "a"), "a")] * 60).sentence == (
        "No difference seen (p = 1). A swap that agrees on 90 % of this battery would be missed "
        "1 time in 8."
    )
    with pytest.raises(ValueError, match="same number"):
        compare([Asked(("a", "a"), "a"), Asked(("a",), "a")])
    with pytest.raises(ValueError, match="same number"):
        compare([])


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.001, "less than 1 time in 100"),
        (0.2, "1 time in 5"),
        (0.6, "6 times in 10"),
        (0.949, "9 times in 10"),
        (0.95, "nearly always"),
        (0.99, "nearly always"),
    ],
)
def test_shares_in_words(share: float, said: str) -> None:
    assert in_words(share) == said


def test_p_in_words() -> None:
    assert [p_in_words(p) for p in (0.00001, 0.0004, 0.0123, 0.31)] == [
        "p < 0.0001",
        "p = 0.0004",
        "p = 0.012",
        "p = 0.31",
    ]


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("number", "347 * 29 = 10063", "10063"),
        ("number", "**10,063**.", "10063"),
        ("number", "It is −0.50", "-0.5"),
        ("number", "007", "7"),
        ("number", "I do not know", ""),
        ("word", "  *Elephant*.", "elephant"),
        ("word", "Elephant, because", "elephant"),
        ("word", "42", ""),
    ],
)
def test_answers_are_read_without_their_dress(kind: str, text: str, said: str) -> None:
    question = next(one for one in model_battery.QUESTIONS if one.kind == kind)
    assert model_battery.read(question, text) == said


def test_the_battery_is_as_it_was_when_it_got_its_name() -> None:
    # A changed question needs a new name: references name the battery that they answer.
    assert len({one.text for one in model_battery.QUESTIONS}) == 60
    assert (
        model_battery.digest()
        == "sha256:95ec84ff9f955a4256c5190f38e06748479173aabe65647a96caee3bb52ca7a5"
    )


def test_a_rounded_p_stands_on_its_own_side_of_the_level() -> None:
    """ "No difference seen (p = 0.01)" was said of 0.0104, and 0.01 is a difference."""
    assert [p_in_words(p) for p in (0.0104, 0.01004, 0.00996, 0.01)] == [
        "p = 0.0104",
        "p = 0.01004",
        "p = 0.01",
        "p = 0.01",
    ]
