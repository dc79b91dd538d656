"""Many receipts at a glance: verdicts, what each check came to, sums, period, hosts and models; and
findings grouped by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from opg_magic.audit.findings import SIGNS, Checked, Finding
from opg_magic.models import BASES, CLAIM_NAMES, STATUSES, Basis, Charge, Money, Status
from opg_magic.receipt.thread import thread_name

#: Of receipts, places, hosts and models so many are named in text; JSON and CSV have all.
_NAMED = 6


@dataclass(frozen=True, slots=True)
class Sums:
    """What calls cost in one token: ``claimed`` is the hosts' figure, ``settled`` what the payment
    chain shows of them by their receipts; each with the number of calls that have one."""

    claimed: Money
    claimed_calls: int
    settled: Money
    settled_calls: int


@dataclass(frozen=True)
class Summary:
    """What a file's receipts come to together."""

    receipts: int
    #: Label of a verdict to how many receipts have it.
    verdicts: Counter[str]
    accepted: int
    failed_when_made: tuple[str, ...]
    #: Ids of what fails although its author recorded something else, or is told of in a finding of
    #: level ``failed``: altered since, or never true.
    altered: tuple[str, ...]
    #: (claim, status) and (claim, basis) to how many receipts.
    statuses: Counter[tuple[str, Status]]
    bases: Counter[tuple[str, Basis]]
    sums: tuple[Sums, ...]
    #: First and last ``created_at`` as they stand there (the author's word); None without receipts.
    period: tuple[str, str] | None
    hosts: Counter[str]
    models: Counter[str]
    #: Conversations, by their name or the ID of their first call (the author's word).
    threads: Counter[str]

    def to_json(self) -> dict[str, Any]:
        """As JSON data; sums are base units as decimal text."""
        return {
            "receipts": self.receipts,
            "verdicts": dict(self.verdicts),
            "accepted": self.accepted,
            "failed_when_made": list(self.failed_when_made),
            "altered": list(self.altered),
            "claims": {name: self._claim_json(name) for name in self._claims},
            "sums": [
                {
                    "token": one.claimed.token.symbol,
                    "token_address": one.claimed.token.address,
                    "chain_id": one.claimed.token.chain_id,
                    "claimed": str(one.claimed.amount),
                    "claimed_calls": one.claimed_calls,
                    "settled": str(one.settled.amount),
                    "settled_calls": one.settled_calls,
                }
                for one in self.sums
            ],
            "period": list(self.period) if self.period else None,
            "hosts": dict(self.hosts),
            "models": dict(self.models),
            "threads": dict(self.threads),
        }

    @property
    def _claims(self) -> list[str]:
        return [name for name in CLAIM_NAMES if any(key == name for key, _ in self.statuses)]

    def _claim_json(self, name: str) -> dict[str, dict[str, int]]:
        return {
            "status": {s.value: self.statuses[name, s] for s in Status if self.statuses[name, s]},
            "basis": {b.value: self.bases[name, b] for b in Basis if self.bases[name, b]},
        }

    def lines(self) -> Iterator[str]:
        """For a person, one fact per line."""
        for label, number in self.verdicts.most_common():
            yield f"{number:8}  {label}"
        yield f"{len(self.failed_when_made):8}  failed when made, as the receipt itself says"
        yield f"{len(self.altered):8}  altered, or failing although recorded otherwise"
        yield ""
        first, last = (moment[:16].replace("T", " ") for moment in self.period or ("", ""))
        yield f"Period   {first} to {last} UTC, by the receipts"
        yield f"Hosts    {_most(self.hosts)}"
        yield f"Models   {_most(self.models)}"
        if self.threads:
            yield f"Threads  {_most(self.threads)}"
        for one in self.sums:
            settled = f"settled {one.settled} ({calls(one.settled_calls)})"
            if not one.settled_calls:
                settled = "no settlement recorded"
            yield (
                f"Cost     claimed by hosts {one.claimed} ({calls(one.claimed_calls)}), {settled}"
            )
        yield ""
        yield from self._table()

    def _table(self) -> Iterator[str]:
        statuses = [s for s in Status if any(self.statuses[name, s] for name in self._claims)]
        yield f"{'check':12}" + "".join(f"{STATUSES[s].word:>16}" for s in statuses) + "  rests on"
        for name in self._claims:
            rests = [
                f"{self.bases[name, basis]} {BASES[basis].short}"
                for basis in Basis
                if self.bases[name, basis]
            ]
            counts = "".join(f"{self.statuses[name, s] or '–':>16}" for s in statuses)
            yield f"{name:12}{counts}  {', '.join(rests)}".rstrip()


def calls(number: int) -> str:
    """``1 call``, ``2 calls``."""
    return f"{number} call{'s' * (number != 1)}"


def summarise(checked: Sequence[Checked], findings: Iterable[Finding]) -> Summary:
    """The summary of a report's receipts."""
    accused = {f.receipt_id for f in findings if f.level == "failed"}
    made = [one.receipt.id for one in checked if one.failed_when_made]
    altered = [
        one.receipt.id
        for one in checked
        if one.receipt.id in accused or (one.failed and not one.failed_when_made)
    ]
    claims = [claim for one in checked for claim in one.verdict.claims.values()]
    moments = sorted(str(one.receipt.document["created_at"]) for one in checked)
    hosts = [(one.receipt.document["host"] or {}).get("tee_id") or "none" for one in checked]
    return Summary(
        receipts=len(checked),
        verdicts=Counter(one.label for one in checked),
        accepted=sum(one.accepted for one in checked),
        failed_when_made=tuple(id for id in made if id not in accused),
        altered=tuple(altered),
        statuses=Counter((claim.name, claim.status) for claim in claims),
        bases=Counter((claim.name, claim.basis) for claim in claims if claim.basis),
        sums=tuple(_sums(checked)),
        period=(moments[0], moments[-1]) if moments else None,
        hosts=Counter(hosts),
        models=Counter(one.receipt.document["request"]["model_requested"] for one in checked),
        threads=Counter(
            name for one in checked if (name := thread_name(one.receipt.document)) is not None
        ),
    )


def _sums(checked: Iterable[Checked]) -> Iterator[Sums]:
    found: dict[tuple[int, str], Sums] = {}
    for one in checked:
        cost = one.receipt.cost
        known = cost.cap or cost.amount or cost.settled
        if known is None:
            continue
        token = known.token
        claimed = cost.amount if cost.charge is not Charge.NONE else None
        was = found.get((token.chain_id, token.address.lower())) or Sums(
            Money(0, token), 0, Money(0, token), 0
        )
        found[token.chain_id, token.address.lower()] = Sums(
            Money(was.claimed.amount + (claimed.amount if claimed else 0), token),
            was.claimed_calls + (claimed is not None),
            Money(was.settled.amount + (cost.settled.amount if cost.settled else 0), token),
            was.settled_calls + (cost.settled is not None),
        )
    yield from found.values()


def grouped(findings: Iterable[Finding]) -> Iterator[str]:
    """Findings by kind, each kind with its number, an example, and where it was found."""
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for one in findings:
        kinds.setdefault((one.level, one.code), []).append(one)
    for same in sorted(kinds.values(), key=lambda same: list(SIGNS).index(same[0].level)):
        first = same[0]
        if len(same) == 1:
            yield finding_text(first)
            continue
        places = dict.fromkeys(f.receipt_id or f.where or "" for f in same)
        alike = len({f.message for f in same}) == 1
        message = first.message if alike else f"for instance: {first.message}"
        yield f"{SIGNS[first.level]} {len(same)} × {first.code}: {message} ({_some(list(places))})"


def finding_text(one: Finding) -> str:
    """A finding as a line."""
    place = ", ".join(p for p in (one.where, one.receipt_id and f"receipt {one.receipt_id}") if p)
    return f"{SIGNS[one.level]} {f'{place}: ' if place else ''}{one.message}"


def failures(checked: Iterable[Checked]) -> Iterator[str]:
    """What fails now, by the claims that fail and by whether it was so when made."""
    kinds: dict[tuple[bool, str], list[Checked]] = {}
    for one in checked:
        if one.failed:
            names = ", ".join(claim.name for claim in one.verdict.failed_claims)
            kinds.setdefault((one.failed_when_made, names), []).append(one)
    for (made, names), same in sorted(kinds.items(), key=lambda kind: (kind[0][0], kind[0][1])):
        first = same[0].verdict.failed_claims
        reason = (first[0].reason or first[0].sentence) if first else ""
        example = reason if len(same) == 1 else f"for instance: {reason}"
        when = "failed when made" if made else "failing although recorded otherwise"
        ids = _some([one.receipt.id for one in same])
        yield f"✗ {len(same)} × {names}, {when}: {example} ({ids})"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _most(counted: Counter[str]) -> str:
    shown = [
        f"{name if len(name) <= 40 else f'{name[:10]}…{name[-6:]}'} ({number})"
        for name, number in counted.most_common()
    ]
    return f"{len(counted)}: {_some(shown)}"
