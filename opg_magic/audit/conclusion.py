"""What a report comes to, in the lines that are read first: what is so, why it is no more, and what
the reader can do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from opg_magic.audit.findings import Checked, Finding
from opg_magic.models import CLAIM_NAMES, STATUSES, Claim
from opg_magic.models.plain_text import plural

#: By exit code: what is so.
_SO = {
    0: "Everything that policy {policy} requires is met.",
    1: "Do not rely on what is marked ✗: it is not what was signed, or it fails.",
    2: "What is marked ✗ cannot be read, so it was not checked.",
    3: "Nothing fails, but not everything that policy {policy} requires is met:",
    5: "What fails here failed when it was made, and its receipt says so. Do not rely on it. "
    "Everything else that policy {policy} requires is met.",
}
#: So many places are named.
_PLACES = 4
#: With exit code 0.  The verdict beside it is another reader's, who has not this network's root.
_SIMULATED = "Accepted by --allow-simulated: everything that policy {policy} requires passed"
#: With exit code 3, where calls failed when they were made.
_FAILED_THEN = (
    "What fails here failed when it was made, and its receipt says so. Do not rely on it. Of the "
    "rest, not everything that policy {policy} requires is met:"
)
_NO_RECEIPT = "Nothing here can be verified."

#: By a check that is not met: what answers it.
_ASK = {
    "registry": "--rpc URL asks the host registry",
    "channel": "--rpc URL asks the host registry",
    "payment": "--rpc URL --payment-rpc URL look the payment up",
    "weights": "--weights runs the open weights that you trust",
    "agreement": "ask the author for the receipts of all hosts",
    "settlement": "a call with --settle batch has one, and --rpc URL asks for it",
}


def conclusion(
    code: int,
    checked: Sequence[Checked],
    findings: Sequence[Finding],
    policy: str,
    *,
    allow_simulated: bool,
) -> Iterator[str]:
    """The lines, of a report with this exit code."""
    if code == 3 and not checked:
        yield _NO_RECEIPT
    elif code == 3 and any(one.failed for one in checked):
        yield _FAILED_THEN.format(policy=policy)
    elif code == 0 and any(one.verdict.simulated for one in checked):
        excused = {name for one in checked for name in one.excused}
        names = ", ".join(name for name in CLAIM_NAMES if name in excused)
        yield (
            _SIMULATED.format(policy=policy)
            + f", {names} by the author's word alone" * bool(names)
            + "."
        )
    else:
        yield _SO[code].format(policy=policy)
    if code == 1:
        yield "→ ask the author for the receipts: opg receipts export receipts.jsonl"
    if code == 3:
        yield from (
            f"→ {line}" for line in _steps(checked, findings, allow_simulated=allow_simulated)
        )


def _steps(
    checked: Sequence[Checked], findings: Sequence[Finding], *, allow_simulated: bool
) -> Iterator[str]:
    open_ones = [one for one in checked if not one.failed and not one.accepted]
    real = [one for one in open_ones if not one.verdict.simulated]
    simulated = [one for one in open_ones if one.verdict.simulated]
    yield from _of_real(real)
    yield from _of_simulated(simulated, allow_simulated=allow_simulated)
    incomplete = [one for one in findings if one.level == "incomplete"]
    if places := dict.fromkeys(p for one in incomplete if (p := one.where or one.receipt_id)):
        shown = sorted(places, key=_in_order)[:_PLACES]
        more = len(places) - len(shown)
        yield (
            f"look for yourself at what is marked ○ ({', '.join(shown)}"
            f"{f' and {more} more' if more else ''}): nothing signed covers it"
        )
    if not checked:
        yield "ask the author for the receipts: opg receipts export receipts.jsonl"


def _in_order(place: str) -> tuple[str, int]:
    """Cell 9 before cell 12."""
    word, _, number = place.partition(" ")
    return word, int(number) if number.isascii() and number.isdigit() else 0


def _of_real(receipts: Sequence[Checked]) -> Iterator[str]:
    answered = [one for one in receipts if not _unanswered(one)]
    yield from _without_answer(len(receipts) - len(answered))
    for name, told in _unmet(answered):
        step = _ASK.get(name)
        yield f"{name}: {told}" + f"; {step}" * bool(step)


def _of_simulated(receipts: Sequence[Checked], *, allow_simulated: bool) -> Iterator[str]:
    own = [one for one in receipts if one.verdict.claims["attestation"].passed]
    others = len(receipts) - len(own)
    if others:
        yield (
            f"{plural(others, 'receipt')} of another installation's simulated network: only its "
            "own machine can accept them, with --allow-simulated"
        )
    if own and not allow_simulated:
        yield (
            f"{plural(len(own), 'receipt')} of this installation's simulated network: "
            "--allow-simulated accepts them"
        )
    elif own:
        answered = [one for one in own if not _unanswered(one)]
        yield from _without_answer(len(own) - len(answered))
        yield from (f"{name}: {told}" for name, told in _unmet(answered, settled=True))


def _unmet(receipts: Iterable[Checked], *, settled: bool = False) -> Iterator[tuple[str, str]]:
    """Checks that keep receipts from what is required: the name, and how it stands in how many.
    ``settled``: only those that did not pass."""
    kept: dict[str, list[Claim | None]] = {}
    for one in receipts:
        for name in dict.fromkeys(reason.partition(":")[0] for reason in one.verdict.because):
            claim = one.verdict.claims.get(name)
            if not (settled and claim is not None and claim.passed):
                kept.setdefault(name, []).append(claim)
    for name in sorted(kept, key=lambda name: (*CLAIM_NAMES, name).index(name)):
        states = dict.fromkeys(_state(claim) for claim in kept[name])
        yield name, f"{' or '.join(states)} in {plural(len(kept[name]), 'receipt')}"


def _state(claim: Claim | None) -> str:
    if claim is None:
        return "not met"
    return "the author's word" if claim.passed else STATUSES[claim.status].word


def _unanswered(one: Checked) -> bool:
    """Whether the call ended before an answer came."""
    response = one.receipt.document["response"]
    return response["text"] is None and response["tool_calls"] is None


def _without_answer(count: int) -> Iterator[str]:
    if count:
        yield f"no answer in {plural(count, 'receipt')}: the call ended before one came"
