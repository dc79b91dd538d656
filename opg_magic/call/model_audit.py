"""Asking the battery of ``opg audit-model``: its size by a cost cap, answers of a stopped run kept.

Each question is a paid, checked call like any other.  What the answers say is decided in
:mod:`opg_magic.audit.model_statistics`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from opg_magic.audit.model_battery import QUESTIONS, Question, read
from opg_magic.audit.model_reference import Given, Reference
from opg_magic.audit.model_statistics import fewest
from opg_magic.call.naming import model_for
from opg_magic.errors import CallFailed, ConfigError, LimitExceeded
from opg_magic.models import Charge, Money, VerdictStatus
from opg_magic.protocol.canonical import request_evidence
from opg_magic.protocol.request_body import build_body

if TYPE_CHECKING:
    from opg_magic.call.session import Session
    from opg_magic.call.state import CallOptions

#: A good receipt of a stopped run counts for this long.
KEPT = timedelta(hours=24)
#: What a call must have come to, for its answer to count.
_GOOD = frozenset({VerdictStatus.VERIFIED, VerdictStatus.PARTIAL})

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be asked, and what it may cost: ``each`` is the most that one answer costs by the
    price list, or the whole cap of an authorisation where no price is known."""

    model: str
    questions: tuple[Question, ...]
    repeats: int
    each: Money
    authorisation: Money | None
    priced: bool

    @property
    def most(self) -> Money:
        """The estimate for all calls."""
        return Money(self.each.amount * len(self.questions) * self.repeats, self.each.token)

    @property
    def sentence(self) -> str:
        """What it costs, before anything is paid."""
        calls = len(self.questions) * self.repeats
        basis = "by the price list" if self.priced else "by the cap of each payment: no price known"
        said = (
            f"{len(self.questions)} questions to {self.model}, {calls} calls, at most {self.most} "
            f"{basis}."
        )
        if self.authorisation is None:
            return said
        return f"{said} Each authorisation that is signed has a cap of {self.authorisation}."


def plan(
    session: Session,
    model: str | None,
    options: CallOptions,
    *,
    most: int | None,
    repeats: int = 1,
    reference: Reference | None = None,
) -> Plan:
    """Return what ``most`` base units pay for; None: the whole battery.  Nothing is paid or sent.

    Raises :class:`ConfigError` if that is too little to tell any two models apart, and what
    :meth:`Session.quote` raises."""
    name = model_for(model, session.settings, options.network)
    longest = max(QUESTIONS, key=lambda one: len(one.text))
    quote = session.quote(longest.prompt(name), options)
    each = quote.estimate or quote.cap
    if each is None:
        raise ConfigError(
            f"No price is known for {name}, so the cost of a battery cannot be bounded. "
            "Nothing was sent.",
            hint="Give a price: see the setting prices_file.",
        )
    size = len(QUESTIONS if reference is None else reference.answers)
    if most is not None and each.amount:
        size = min(size, most // (each.amount * repeats))
    needed = fewest(repeats if reference is None else reference.repeats)
    if size < needed:
        least = Money(each.amount * repeats * needed, each.token)
        raise ConfigError(
            f"Fewer than {needed} questions cannot tell any two models apart, and they cost up to "
            f"{least}. Nothing was sent.",
            hint=f"Raise it: --max-cost {least.plain}",
        )
    return Plan(name, QUESTIONS[:size], repeats, each, quote.cap, quote.estimate is not None)


def answers(
    session: Session,
    made: Plan,
    options: CallOptions,
    *,
    most: int,
    without: frozenset[str] = frozenset(),
    fresh: bool = False,
    say: Say = print,
) -> tuple[tuple[Given, ...], ...]:
    """Ask all questions, the whole battery once before any question is asked again.

    Good receipts of the last day in the ledger count, unless ``fresh``; never those in
    ``without``.  Stops before the hosts' figures pass ``most`` base units (LimitExceeded), and at
    the first answer that does not count (CallFailed); what was answered until then is kept."""
    kept = {} if fresh else _kept(session, made, options, without)
    found: list[list[Given]] = [[] for _ in made.questions]
    spent, reused = 0, 0
    for turn in range(made.repeats):
        for number, question in enumerate(made.questions):
            earlier = kept.get(question.id, [])
            if turn < len(earlier):
                found[number].append(earlier[turn])
                reused += 1
                continue
            if spent + made.each.amount > most:
                raise LimitExceeded(
                    f"The hosts' figures come to {Money(spent, made.each.token)}: one answer more "
                    "could pass --max-cost. It was not asked for.",
                    hint="Run it again with a higher --max-cost; answers that came are kept.",
                )
            given, cost = _ask(session, made, question, options)
            found[number].append(given)
            spent += cost
        say(f"Asked {turn + 1} of {made.repeats} times: {len(made.questions)} questions.")
    if reused:
        say(f"{reused} answers come from receipts of the last 24 hours and were not paid again.")
    say(f"Cost by the hosts' figures: {Money(spent, made.each.token)}.")
    return tuple(tuple(one) for one in found)


def _ask(
    session: Session, made: Plan, question: Question, options: CallOptions
) -> tuple[Given, int]:
    """One answer that counts, and what it cost in base units."""
    # What the notebook asked before is no other answer: it may even be the reference's own.
    answer = session.ask(question.prompt(made.model), replace(options, fresh=True))
    receipt = answer.receipt
    if answer.verdict.outcome not in _GOOD:
        raise CallFailed(
            f"The answer to {question.id} does not count: {answer.verdict.label}. "
            f"{answer.verdict.why}",
            hint="Run it again; answers that came before are kept and not paid again.",
            charge=answer.cost.charge,
            receipt_id=receipt.id,
        )
    amount = answer.cost.amount or answer.cost.cap or made.each
    cost = 0 if answer.cost.charge is Charge.NONE else amount.amount
    return Given(read(question, answer.text), receipt.id), cost


def _kept(
    session: Session, made: Plan, options: CallOptions, without: frozenset[str]
) -> Mapping[str, list[Given]]:
    """Answers of good receipts of the last day to exactly these requests, by question."""
    network = session.connected(options.network).engine.network
    host = session.by_id(options).host
    questions = {
        request_evidence(build_body(one.prompt(made.model)), "chat").canonical: one
        for one in made.questions
    }
    found: dict[str, list[Given]] = {}
    since = datetime.now(UTC) - KEPT
    ids = [row.id for row in session.ledger.rows(since=since) if row.document is not None]
    for receipt in session.ledger.receipts(ids):
        document = receipt.document
        question = questions.get(document["request"]["canonical"])
        verdict = receipt.verdict_at_creation
        if (
            question is not None
            and receipt.id not in without
            and receipt.text is not None
            and not receipt.withheld
            and verdict is not None
            and verdict.outcome in _GOOD
            and document["network"]["name"] == network.name
            and (host is None or document["host"]["tee_id"] == host)
        ):
            given = Given(read(question, receipt.text), receipt.id)
            found.setdefault(question.id, []).append(given)
    return found


__all__ = ["KEPT", "Plan", "answers", "plan"]
