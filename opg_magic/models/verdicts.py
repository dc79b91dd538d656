"""Claims, verdicts, and what a verifier relies on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from opg_magic.models.claims import Basis, ClaimName, Status

#: SHA-256 of the AWS Nitro Enclaves root certificate.
AWS_ROOT_SHA256 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"


@dataclass(frozen=True, slots=True)
class Claim:
    """One check on a call: its status, its basis, one plain sentence, and the reason if it did not
    pass.

    ``code`` is a short word for programs (``truncated``, ``wrong-key``, …); a pending claim is
    missing after ``expires``."""

    name: ClaimName
    status: Status
    basis: Basis | None
    sentence: str
    reason: str | None = None
    code: str | None = None
    expires: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.status is Status.PASSED


class VerdictStatus(StrEnum):
    """The verdict's word, best first.  Simulated is a flag beside it."""

    VERIFIED = "VERIFIED"
    PARTIAL = "PARTIAL"
    UNVERIFIED = "UNVERIFIED"
    FAILED = "FAILED"


class SimulatedStatus(StrEnum):
    """What VERIFIED is called on a simulated network: no plain comparison with ``"VERIFIED"`` holds
    there."""

    SIMULATED = "SIMULATED"


@dataclass(frozen=True)
class Verdict:
    """The verdict over all claims of a call, and what decided it.

    On a simulated network ``status`` is SIMULATED where it would be VERIFIED; the other words are
    the same.  :attr:`outcome` is the rule that applied on either network: receipts store it beside
    ``simulated``."""

    status: VerdictStatus | SimulatedStatus
    simulated: bool
    claims: Mapping[str, Claim]
    policy: str
    #: Names of the claims that decided it, and why, in words.
    because: tuple[str, ...] = ()
    #: An answer must not be handed out: failed, or a required claim is missing under strict or
    #: audit.
    withheld: bool = False

    def __post_init__(self) -> None:
        if self.simulated and self.status is VerdictStatus.VERIFIED:
            object.__setattr__(self, "status", SimulatedStatus.SIMULATED)

    @property
    def outcome(self) -> VerdictStatus:
        """Which rule applied, simulated or not."""
        return VerdictStatus.VERIFIED if isinstance(self.status, SimulatedStatus) else self.status

    @property
    def failed_claims(self) -> tuple[Claim, ...]:
        return tuple(c for c in self.claims.values() if c.status is Status.FAILED)

    @property
    def withheld_because(self) -> str:
        """Why the answer is withheld, as its error says it."""
        if self.failed_claims:
            first = self.failed_claims[0]
            return f"the {first.name} check failed: {first.reason or first.sentence}"
        return f"answer withheld under policy {self.policy}: {self.why}"

    @property
    def why(self) -> str:
        """What decided it in one line, a reason that several claims share said once; empty where
        nothing did."""
        names: dict[str, list[str]] = {}
        for told in self.because:
            name, _, reason = told.partition(": ")
            names.setdefault(reason, []).append(name)
        return "; ".join(f"{', '.join(sharing)}: {reason}" for reason, sharing in names.items())

    @cached_property
    def label(self) -> str:
        """What may be shown to a person: never a bare VERIFIED for a simulated network."""
        if not self.simulated or isinstance(self.status, SimulatedStatus):
            return self.status.value
        return f"SIMULATED · {self.status.value}"


@dataclass(frozen=True, slots=True)
class Trust:
    """What one verifier relies on beyond the receipt, and how it stands to it.

    ``reader`` is True for someone who opens another's receipt; the kernel that made the call sets
    it False.  ``asked`` names the claims whose evidence this verifier fetched itself just now."""

    aws_root_sha256: str = AWS_ROOT_SHA256
    simulated_roots: frozenset[str] = frozenset()
    pinned_pcrs: frozenset[str] = frozenset()
    skew_seconds: float = 300.0
    reader: bool = True
    asked: frozenset[str] = frozenset()
    #: (chain id, contract) of the registry that this verifier means; None: any, and the claim says
    #: so.
    registry: tuple[int, str] | None = None
    #: (chain id, contract) of the settlement relay that this verifier means; None: any, and the
    #: claim says so.
    relay: tuple[int, str] | None = None
    #: Who may commit a batch or a call to the relay; empty: anyone, and the claim says so.
    relay_senders: frozenset[str] = frozenset()
    #: Addresses that this verifier knows to be paid for a host besides the one that the registry
    #: lists for it.
    payees: frozenset[str] = frozenset()
    #: When this is judged: a pending claim past its expiry is missing.  None: pending claims stay
    #: so.
    now: datetime | None = None
