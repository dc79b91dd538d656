"""Whether answers to a battery differ from a reference: an exact permutation test, and its power.

The reference has several answers per question, the audited model one.  If both come from one model,
then of the answers to one question any is as likely as another to be the audited one, however
often that model changes its mind: temperature 0 is not deterministic at a provider.  The score
counts, over all questions, how many reference answers the audited one differs from.  Its
distribution over all choices of "the audited one" is computed whole, in integers; p is the share of
choices with a score at least as high.  See Good, "Permutation, Parametric and Bootstrap Tests of
Hypotheses", on exchangeability within strata."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

#: A p-value at most this large is called a difference: one honest audit in 100 is.
LEVEL = 0.01
#: Draws for the power, with a fixed seed: the same figures give the same sentence.
_DRAWS = 2_000
#: An answer that no reference holds.
_NEW = "\0new"

#: How often each score occurs among the choices of one question: (score, choices).
_Scores = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The answers to one question: those of the reference, and the audited one."""

    reference: tuple[str, ...]
    audited: str

    @property
    def score(self) -> int:
        """How many answers of the reference differ from the audited one."""
        return sum(one != self.audited for one in self.reference)

    @property
    def agrees(self) -> bool:
        """Whether the reference gave this answer at least once."""
        return self.audited in self.reference


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the test says.  ``missed`` is the share of swaps that agree with the reference on
    nine questions in ten, and that this test would not call a difference."""

    questions: int
    repeats: int
    agree: int
    #: Questions on which the reference contradicts itself.
    unsteady: int
    p: float
    missed: float

    @property
    def differs(self) -> bool:
        """Whether p is at most :data:`LEVEL`."""
        return self.p <= LEVEL

    @property
    def sentence(self) -> str:
        """The result in words that claim no more than it says."""
        if self.differs:
            return f"Differs from the reference: {p_in_words(self.p)}."
        return (
            f"No difference seen ({p_in_words(self.p)}). A swap that agrees on 90 % of this "
            f"battery would be missed {in_words(self.missed)}."
        )


def compare(asked: Sequence[Asked]) -> Comparison:
    """Compare the answers to a battery with its reference.  Raises ValueError without questions, or
    without the same number of reference answers for each."""
    repeats = {len(one.reference) for one in asked}
    if len(repeats) != 1 or repeats == {0}:
        raise ValueError("every question needs the same number of reference answers")
    reference = [one.reference for one in asked]
    return Comparison(
        questions=len(asked),
        repeats=repeats.pop(),
        agree=sum(one.agrees for one in asked),
        unsteady=sum(len(set(one)) > 1 for one in reference),
        p=p_value(asked),
        missed=missed(reference, agreeing=0.9),
    )


def p_value(asked: Iterable[Asked]) -> float:
    """The chance of so high a score if one model gave all answers."""
    score, kinds = 0, []
    for one in asked:
        score += one.score
        kinds.append(_scores(Counter((*one.reference, one.audited))))
    return _tail(tuple(sorted(kinds)), score)


def missed(reference: Sequence[tuple[str, ...]], *, agreeing: float) -> float:
    """The share of swaps that :func:`p_value` leaves above :data:`LEVEL`, by simulation.

    On each question the swap agrees with chance ``agreeing``: then it answers as one of the
    reference's answers, drawn at random; else with one that the reference does not have."""
    draw = random.Random(20261125)  # noqa: S311
    unseen = 0
    for _ in range(_DRAWS):
        asked = [
            Asked(one, draw.choice(one) if draw.random() < agreeing else _NEW) for one in reference
        ]
        unseen += p_value(asked) > LEVEL
    return unseen / _DRAWS


def fewest(repeats: int) -> int:
    """The fewest questions of which a wholly different model's answers could be told apart."""
    questions = 1
    while (repeats + 1) ** -questions > LEVEL:
        questions += 1
    return questions


def _scores(pooled: Counter[str]) -> _Scores:
    """The scores of one question: each of its answers in turn as the audited one."""
    size = pooled.total()
    scores: Counter[int] = Counter()
    for count in pooled.values():
        scores[size - count] += count
    return tuple(sorted(scores.items()))


@lru_cache(maxsize=4096)
def _tail(kinds: tuple[_Scores, ...], score: int) -> float:
    """The share of all choices whose scores sum to at least ``score``; questions are
    independent."""
    ways = {0: 1}
    total = 1
    for kind in kinds:
        total *= sum(count for _, count in kind)
        if len(kind) == 1:  # the same score whichever is chosen
            ((only, count),) = kind
            ways = {sum_ + only: n * count for sum_, n in ways.items()}
            continue
        grown: Counter[int] = Counter()
        for sum_, n in ways.items():
            for one, count in kind:
                grown[sum_ + one] += n * count
        ways = dict(grown)
    return sum(n for sum_, n in ways.items() if sum_ >= score) / total


def p_in_words(p: float) -> str:
    """A p-value to two significant digits, without an exponent; to more where two would put it on
    the other side of :data:`LEVEL`."""
    if p < 0.0001:
        return "p < 0.0001"
    digits = 2
    while (float(f"{p:.{digits}g}") <= LEVEL) != (p <= LEVEL):
        digits += 1
    return f"p = {p:.{digits}g}"


def in_words(share: float) -> str:
    """How often, in words: ``1 time in 5``; from one half on in tenths."""
    if share < 0.01:
        return "less than 1 time in 100"
    if share >= 0.95:
        return "nearly always"
    if share >= 0.45:
        return f"{round(share * 10)} times in 10"
    return f"1 time in {round(1 / share)}"
