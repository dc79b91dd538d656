"""One prompt to several independent hosts at once, and what their answers have in common.

All of them are reserved and signed for before the prompt goes to the first: the limits allow the
sum, or nothing is sent.  Each answer has a receipt of its own; the comparison is appended to every
one of them, with the digests of the others, so that each binds all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from opg_magic import errors
from opg_magic.call.hosts import note_unattested
from opg_magic.call.state import SessionGone, kernel_trust, policy_of
from opg_magic.models import (
    AgreementEvidence,
    Answer,
    CallReceipt,
    Charge,
    Claim,
    Cost,
    Money,
    Phase,
    Progress,
    Prompt,
    Verdict,
    arguments,
)

if TYPE_CHECKING:
    from opg_magic.call.engine import Engine
    from opg_magic.call.prepared import PreparedCall
    from opg_magic.call.state import CallOptions, EngineSettings

log = logging.getLogger(__name__)

#: Most hosts that one cell may ask.
MAX_HOSTS = 16


@dataclass(frozen=True)
class Agreement:
    """Several hosts' answers to one prompt.

    ``answer`` is the one that the quorum gave, ``claim`` says how many gave it and in which sense
    the same; ``answers`` are all that came, ``failures`` what came instead of the others, ``cap``
    the most that all may cost together."""

    answer: Answer
    claim: Claim
    answers: tuple[Answer, ...]
    failures: tuple[errors.OpgError, ...]
    #: The sum of all caps, None where a relay pays.
    cap: Money | None

    @property
    def text(self) -> str:
        """The text that the quorum agrees on, as the chosen host gave it."""
        return self.answer.text

    @property
    def data(self) -> Any:
        """What that text holds, where a schema or a format was asked for."""
        return self.answer.data

    @property
    def verdict(self) -> Verdict:
        """The verdict on the chosen host's answer; its claim ``agreement`` is :attr:`claim`."""
        return self.answer.verdict

    @property
    def receipt(self) -> CallReceipt:
        """The chosen host's receipt, which binds all the others by their digests."""
        return self.answer.receipt

    @property
    def cost(self) -> Cost:
        """What all answers cost together; unknown where one of them is."""
        known = [answer.cost.amount for answer in self.answers]
        total = None
        if self.cap is not None and None not in known:
            total = Money(sum(a.amount for a in known if a), self.cap.token)
        return replace(self.answer.cost, amount=total, cap=self.cap, usd=None)

    def __str__(self) -> str:
        return self.answer.text

    def __repr__(self) -> str:
        return f"<Agreement {len(self.answers)} answers: {self.claim.sentence}>"


async def agree(
    engine: Engine,
    prompt: Prompt,
    options: CallOptions,
    settings: EngineSettings,
    *,
    hosts: int,
    quorum: int | None = None,
    observer: Callable[[Progress], None] | None = None,
) -> Agreement:
    """Ask ``hosts`` hosts of as many owners; ``quorum`` of them must give one answer (left out:
    more than half).

    Raises what a single call raises before anything was sent;
    :class:`opg_magic.errors.HostsDisagree` where no answer reaches the quorum: the receipts are
    kept, and every answer was paid for."""
    hosts, wanted = counts(hosts, quorum)
    if options.host is not None:
        raise errors.ConfigError(
            "--host names one host; --hosts asks several", hint="Use one of the two."
        )
    settings = replace(settings, policy=policy_of(settings, options))
    show = observer or (lambda _: None)
    show(Progress(Phase.QUOTE))
    calls = await prepare_several(engine, prompt, options, settings, count=hosts, observer=show)
    caps = [call.payment.cap.amount for call in calls if call.payment.cap is not None]
    cap = Money(sum(caps), engine.network.token) if caps else None
    show(Progress(Phase.ANSWER, cap=cap, note=f"{hosts} hosts"))
    running = [asyncio.ensure_future(_send(engine, call)) for call in calls]
    try:
        outcomes = await asyncio.gather(*running, return_exceptions=True)
    except asyncio.CancelledError:
        raise _stopped(calls, running) from None
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    failures = tuple(
        _failure(outcome) for outcome in outcomes if isinstance(outcome, BaseException)
    )
    show(Progress(Phase.CHECK, cap=cap))
    return _compare(engine, answers, failures, settings, asked=hosts, quorum=wanted, cap=cap)


async def prepare_several(
    engine: Engine,
    prompt: Prompt,
    options: CallOptions,
    settings: EngineSettings,
    *,
    count: int,
    observer: Callable[[Progress], None],
) -> list[PreparedCall]:
    """``count`` calls of one prompt, to hosts of as many owners: all reserved and signed for, none
    sent.

    All or nothing: where one cannot be had, the reservations of the others are released, and the
    reason is raised (HostUnavailable, LimitExceeded, and what :meth:`Engine.prepare` raises)."""
    snapshot = await engine.hosts.snapshot(settings)
    candidates = engine.hosts.in_order(snapshot)
    engine.hosts.refuse_too_few_rpcs(engine.start(prompt, options, settings), snapshot)
    prepared: list[PreparedCall] = []
    owners: set[str] = set()
    problems: list[str] = []
    too_dear: list[errors.LimitExceeded] = []
    try:
        for host in candidates:
            if len(prepared) == count:
                break
            if host.owner.lower() in owners:
                continue
            call = engine.start(prompt, options, settings, None if prepared else observer)
            try:
                ready = await engine.hosts.check(host, snapshot, settings, policy=call.policy)
                note_unattested(call, ready)
                prepared.append(await engine.prepare(call, ready, settings))
            except errors.LimitExceeded as refused:
                # Another host may ask for a lower cap; where nothing is left of a limit, none can.
                if not refused.room:
                    raise
                too_dear.append(refused)
                continue
            except (errors.HostUnavailable, errors.PaymentRefused) as problem:
                problems.append(f"{host.short_id}: {problem.message}")
                continue
            owners.add(host.owner.lower())
        if len(prepared) < count and too_dear:
            raise min(too_dear, key=lambda refused: refused.cap or 0)
        if len(prepared) < count:
            raise engine.hosts.too_few(snapshot, count, len(prepared), problems)
    except BaseException:
        for other in prepared:
            other.payment.unsent(other.call, "the calls beside it could not be made")
        raise
    return prepared


async def _send(engine: Engine, prepared: PreparedCall) -> Answer:
    """Send it; where the host has closed the session that it was to join, once more under a new
    authorisation.  Its weights are run again where settings or policy want it, as for one host."""
    try:
        answer = await engine.send(prepared)
    except SessionGone:
        answer = await engine.ask_host(prepared.call, prepared.ready, prepared.settings)
    return await engine.reruns.look(answer, prepared.settings, prepared.call.policy)


def _failure(problem: BaseException) -> errors.OpgError:
    """What one of the calls ended with.  Not even an unexpected end of one hides the others, which
    are paid for too."""
    if isinstance(problem, errors.OpgError):
        return problem
    if not isinstance(problem, Exception):
        raise problem
    log.warning("one of several calls ended unexpectedly", exc_info=problem)
    return errors.CallFailed(
        f"one of the calls ended unexpectedly ({type(problem).__name__})",
        hint="What was recorded: %opg receipts",
        charge=Charge.UNKNOWN,
    )


def counts(hosts: int, quorum: int | None) -> tuple[int, int]:
    """How many hosts, and how many of them must agree (left out: more than half); ConfigError if
    that cannot be."""
    hosts = arguments.whole("hosts", hosts, 0)
    wanted = hosts // 2 + 1 if quorum is None else arguments.whole("quorum", quorum, 0)
    if not 2 <= hosts <= MAX_HOSTS or not 1 <= wanted <= hosts:
        many, most = arguments.shown(hosts), arguments.shown(wanted)
        raise errors.ConfigError(
            f"--hosts must be 2 to {MAX_HOSTS}, and --quorum 1 to --hosts. Got {many} and {most}.",
            hint="Nothing was sent.",
        )
    return hosts, wanted


def _stopped(
    calls: Sequence[PreparedCall], running: Sequence[asyncio.Future[Answer]]
) -> BaseException:
    """What a stop of all calls at once says; each has ended by now, and those that were sent wrote
    down how."""
    receipts: list[str] = []
    charges: set[Charge] = set()
    for call, task in zip(calls, running, strict=True):
        if task.cancelled():
            with contextlib.suppress(errors.LedgerError):
                call.payment.unsent(call.call, "it was stopped before it was sent")
            continue
        problem = task.exception()
        if problem is None:
            receipts.append(task.result().receipt.id)
            charges.add(task.result().cost.charge)
        elif isinstance(problem, errors.OpgError):
            receipts += [problem.receipt_id] if problem.receipt_id else []
            charges |= {Charge(problem.charge)} if problem.charge else set()
        else:
            charges.add(Charge.UNKNOWN)
    charges.discard(Charge.NONE)
    if not charges:
        return asyncio.CancelledError()
    return errors.CallFailed(
        f"{len(calls)} hosts were being asked; what was sent may be charged, each up to its cap",
        hint="Kept: " + ", ".join(f"%opg show {receipt_id}" for receipt_id in receipts)
        if receipts
        else None,
        charge=charges.pop() if len(charges) == 1 else Charge.UNKNOWN,
    )


def _compare(
    engine: Engine,
    answers: list[Answer],
    failures: tuple[errors.OpgError, ...],
    settings: EngineSettings,
    *,
    asked: int,
    quorum: int,
    cap: Money | None,
) -> Agreement:
    from opg_magic.receipt.document import new_id, receipt_of
    from opg_magic.verify.agreement import member_of

    members = []
    for answer in answers:
        evidence = answer.receipt.evidence()
        signed = evidence.response.tool_calls or evidence.response.text
        members.append(
            member_of(
                receipt_id=answer.receipt.id,
                # As it was made: a run of the weights has made another version of it.
                digest=receipt_of(answer).supersedes or answer.receipt.digest,
                host=evidence.host,
                text=signed,
                verdict=answer.verdict.outcome,
            )
        )
    if not members:
        raise failures[0]
    compared = AgreementEvidence(asked=asked, quorum=quorum, group=new_id(), answers=tuple(members))
    bound = [_bind(engine, answer, compared, settings) for answer in answers]
    best = max(bound, key=lambda answer: answer.verdict.claims["agreement"].passed)
    claim = best.verdict.claims["agreement"]
    if not claim.passed:
        raise errors.HostsDisagree(
            f"hosts disagree: {claim.reason or claim.sentence}",
            hint="Every answer is kept: " + ", ".join(f"%opg show {a.receipt.id}" for a in bound),
            answers=tuple(bound),
            failures=failures,
        )
    return Agreement(best, claim, tuple(bound), failures, cap)


def _bind(
    engine: Engine, answer: Answer, agreement: AgreementEvidence, settings: EngineSettings
) -> Answer:
    """The answer with what several hosts' answers have in common: appended to its receipt, and
    judged again."""
    from opg_magic.receipt.document import receipt_of, supplemented
    from opg_magic.receipt.supplements import supplement_json
    from opg_magic.verify.verdict import judge

    notes = answer.notes
    try:
        receipt = engine.ledger.supplement(answer.receipt.id, agreement)
    except Exception as problem:
        # Every answer is paid for: the ledger must not keep them from the user.
        why = problem.message if isinstance(problem, errors.LedgerError) else type(problem).__name__
        receipt = supplemented(receipt_of(answer), {"agreement": supplement_json(agreement)})
        notes = (*notes, f"the comparison of the hosts is not in the ledger: {why}")
    trust = kernel_trust(engine.network, settings)
    verdict = judge(receipt.evidence(), policy=settings.policy, trust=trust)
    return replace(answer, receipt=receipt, verdict=verdict, notes=notes)
