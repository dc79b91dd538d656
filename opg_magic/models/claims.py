"""The claims, how one can come out, and what one can rest on: one table of each.

A claim stands here once, by its name.  Two files are found by that name: ``check`` in
``opg_magic/verify/NAME.py`` and ``check`` in ``labextension/src/verify/NAME.ts``; where the claim
has evidence of its own, a third writes and reads it in a receipt, ``opg_magic/receipt/parts/``.
The order here is the order everywhere.  ``python scripts/vocabulary.py`` writes these tables for
the browser; *Add a claim* in CONTRIBUTING.md names every file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

ClaimName = Literal[
    "request",
    "response",
    "signature",
    "freshness",
    "attestation",
    "registry",
    "channel",
    "payment",
    "settlement",
    "agreement",
    "weights",
]

#: The loosest policy that requires a claim; every stricter one requires it too.
RequiredBy = Literal["default", "audit"]


@dataclass(frozen=True, slots=True)
class ClaimKind:
    """One claim in words.  ``on_card`` is what a card says where it passed: a changed word makes
    another form of card (``opg_magic/receipt/face``).  ``says`` completes "passes when …" without a
    full stop.

    ``part`` is the key of a receipt's document that holds the evidence that this claim alone
    brings, and the field of :class:`~opg_magic.models.Evidence` of the same name; None where it is
    judged by what other parts hold.  ``required_by``: None where only a user's own policy requires
    it."""

    name: ClaimName
    on_card: str
    says: str
    part: str | None = None
    required_by: RequiredBy | None = None


#: Every claim, in the order in which they are checked, written and shown.
CLAIMS: tuple[ClaimKind, ...] = (
    ClaimKind(
        "request",
        "The host signed exactly this request.",
        "the host signed exactly the request that was sent",
        required_by="default",
    ),
    ClaimKind(
        "response",
        "Exactly the text that it signed.",
        "the text shown is exactly the text that was signed; a cut or altered stream fails",
        required_by="default",
    ),
    ClaimKind(
        "signature",
        "Signed with this host's own key.",
        "the host's own key signed both, at a stated time",
        required_by="default",
    ),
    ClaimKind(
        "freshness",
        "Signed during this call only.",
        "that time lies between sending and receiving, and no other receipt has this signature",
        required_by="default",
    ),
    ClaimKind(
        "attestation",
        "Key made in an attested enclave.",
        "key and TLS certificate were made inside an AWS Nitro enclave that runs code listed in "
        "the registry",
        part="attestation",
        required_by="default",
    ),
    ClaimKind(
        "registry",
        "The host was listed and active.",
        "the host was active in the on-chain host registry at a stated block",
        part="registry",
        required_by="default",
    ),
    ClaimKind(
        "channel",
        "TLS ended in the registered certificate.",
        "the connection ended at exactly the registered certificate",
        part="channel",
        required_by="default",
    ),
    ClaimKind(
        "payment",
        "Paid to this host, within the cap.",
        "at most the stated amount went to the stated payee, in a transaction found by the signed "
        "nonce",
        part="payment",
        required_by="audit",
    ),
    ClaimKind(
        "settlement",
        "Its hashes are on the chain.",
        "with `--settle batch`: hashes and signature are in a batch whose root is on the chain",
        part="settlement",
        required_by="audit",
    ),
    ClaimKind(
        "agreement",
        "Independent hosts gave the same answer.",
        "with `--hosts 3`: how many hosts of different owners gave the same answer",
        part="agreement",
    ),
    ClaimKind(
        "weights",
        "These open weights give this answer.",
        "the stated open weights, run again, give this answer; a statistic, never a proof",
        part="weights",
    ),
)

CLAIM_NAMES: tuple[ClaimName, ...] = tuple(kind.name for kind in CLAIMS)


def required_by(policy: RequiredBy) -> frozenset[ClaimName]:
    """The claims that a policy of this name requires."""
    wanted = ("default",) if policy == "default" else ("default", "audit")
    return frozenset(kind.name for kind in CLAIMS if kind.required_by in wanted)


class Status(StrEnum):
    """How one claim came out."""

    PASSED = "passed"
    FAILED = "failed"
    PENDING = "pending"
    MISSING = "missing"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class StatusWords:
    """A mark, and the words that always stand beside it: neither colour nor shape is the only
    sign."""

    mark: str
    word: str


STATUSES: Mapping[Status, StatusWords] = {
    Status.PASSED: StatusWords("✓", "passed"),
    Status.FAILED: StatusWords("✗", "failed"),
    Status.PENDING: StatusWords("◌", "pending"),
    Status.MISSING: StatusWords("○", "missing"),
    Status.NOT_APPLICABLE: StatusWords("–", "not applicable"),
}


class Basis(StrEnum):
    """What the reader relies on for one claim."""

    PROVEN = "proven"
    ASKED = "asked"
    RE_RUN = "re-run"
    RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class BasisWords:
    """A basis in words: ``heading`` over the checks of a card (``{}`` is whose kernel it was),
    ``short`` beside a claim, ``meaning`` where a reader asks what that is."""

    heading: str
    short: str
    meaning: str


#: Best first: the order in which a card lists what passed.
BASES: Mapping[Basis, BasisWords] = {
    Basis.PROVEN: BasisWords(
        "Proven from this receipt",
        "proven",
        "Follows from this receipt and pinned roots: anyone can compute it again.",
    ),
    Basis.ASKED: BasisWords(
        "Asked live by {}",
        "asked live",
        "Asked of RPCs of your own, or seen by your own kernel.",
    ),
    Basis.RE_RUN: BasisWords(
        "Re-run by {}",
        "re-run",
        "The open weights were run again and compared: a statistic, never a proof.",
    ),
    Basis.RECORDED: BasisWords(
        "Author's word",
        "author's word",
        "Stated by the author's kernel; not asked here.",
    ),
}
