"""Lookups the reader's own RPCs about a receipt; where they cannot be asked, a claim stays what its
author recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeVar

from opg_magic.audit.findings import Finding, Level
from opg_magic.errors import OpgError, RpcsDisagree
from opg_magic.models import (
    Authorisation,
    BatchEvidence,
    Evidence,
    Host,
    IndividualEvidence,
    Money,
    RegistryEvidence,
    SettlementTx,
    Trust,
)
from opg_magic.models.networks import Token
from opg_magic.verify.weights import MEASURED

T = TypeVar("T")


class RegistryLookup(Protocol):
    """Asks the reader's own RPCs for a host's entry at one block.

    One that also has ``revoked_since(tee_id, block_number) -> str | None`` tells what became of the
    entry later, in words that begin with the reason ("PCR revoked on 2026-05-06 12:00 UTC")."""

    def at_block(self, tee_id: str, block_number: int) -> RegistryEvidence: ...


class PaymentLookup(Protocol):
    """Asks the reader's own RPCs of the payment chain what became of an authorisation, by its
    nonce.

    One that also has ``token`` says in what that chain is paid, and how it is counted."""

    def settlement_of(self, authorisation: Authorisation) -> SettlementTx: ...


Settlement = BatchEvidence | IndividualEvidence


class SettlementLookup(Protocol):
    """Asks the reader's own RPCs for the relay's event in the transaction that a receipt names.

    What comes back is ``recorded`` with all that the chain knows better (block, relay, sender,
    batch size), and with ``committed`` False where there is no event with this root, or of this
    call, in that transaction.  One that also has ``senders`` names who alone may commit."""

    def committed(self, recorded: Settlement) -> Settlement: ...


#: Gives the evidence with a run of the reader's own weights, or with why there is none
#: (:meth:`opg_magic.weights.check.Checker.run`).
Rerun = Callable[[Evidence], Evidence]


class Spot(NamedTuple):
    """Where a finding belongs: the place in the file, and the receipt's id."""

    where: str
    receipt_id: str


class NotAnswered(Exception):
    """A lookup gave nothing to go by, which a finding says.

    ``disagreement``: how RPCs contradict each other, where they do."""

    def __init__(self, disagreement: str | None = None) -> None:
        super().__init__(disagreement)
        self.disagreement = disagreement


@dataclass
class Lookups:
    """Whom a reader asks, what came of it, and what there is to say about it."""

    trust: Trust
    rpc_reader: RegistryLookup | None
    payment_reader: PaymentLookup | None
    settlement_reader: SettlementLookup | None
    #: Runs a call's weights again; None: nothing is run.
    rerun: Rerun | None = field(default=None, kw_only=True)
    findings: list[Finding] = field(default_factory=list, kw_only=True)
    _entries: dict[tuple[str, int], Host | None] = field(default_factory=dict, kw_only=True)

    def say(
        self, level: Level, code: str, message: str, where: str | None = None, id: str | None = None
    ) -> None:
        """Add a finding."""
        self.findings.append(Finding(level, code, message, where, id))

    def look_up(self, ask: Callable[[], T], what: str, code: str, spot: Spot) -> T:
        """What ``ask`` returns.  If it cannot be asked (a note under ``code``), or if RPCs disagree
        (a failure), that is said, and :class:`NotAnswered` is raised."""
        try:
            return ask()
        except RpcsDisagree as error:
            self.say("failed", "rpcs-disagree", error.message, *spot)
            raise NotAnswered(error.message) from None
        except OpgError as error:
            self.say("note", code, f"{what}: {error.message}", *spot)
            raise NotAnswered from None

    def entry_at(self, tee_id: str, block_number: int) -> Host | None:
        """The registry's entry of a host at a block; None where it is not listed.  Raises what the
        reader raises."""
        key = (tee_id.lower(), block_number)
        if key not in self._entries and self.rpc_reader is not None:
            self._entries[key] = self.rpc_reader.at_block(tee_id.lower(), block_number).entry
        return self._entries.get(key)

    # --------------------------------------------------------------------------------- the registry

    def ask_registry(self, evidence: Evidence, spot: Spot) -> tuple[Evidence, Trust]:
        """The evidence with the host's entry as the reader's own RPCs show it."""
        reader, host, recorded = self.rpc_reader, evidence.host, evidence.registry
        if reader is None or host is None or recorded is None:
            return evidence, self.trust
        try:
            asked = self.look_up(
                lambda: reader.at_block(host.tee_id, recorded.block_number),
                "The registry could not be asked",
                "registry-not-asked",
                spot,
            )
        except NotAnswered as problem:
            if problem.disagreement is None:
                return evidence, self.trust  # the claim stays what it was: recorded
            contradicted = replace(recorded, disagreement=problem.disagreement)
            return replace(evidence, registry=contradicted), asked_live(self.trust, "registry")
        if asked.block_hash.lower() != recorded.block_hash.lower():
            self._say_other_block(evidence, recorded, asked, spot)
            return evidence, self.trust
        self._entries[host.tee_id.lower(), recorded.block_number] = asked.entry
        if asked.active:
            asked = replace(asked, since=self._revoked_since(host.tee_id, asked, spot))
        # What the reader's own RPC was asked about is the registry that this reader means.
        trust = replace(
            self.trust, registry=self.trust.registry or (asked.chain_id, asked.contract)
        )
        return replace(evidence, registry=asked), asked_live(trust, "registry")

    def _say_other_block(
        self, evidence: Evidence, recorded: RegistryEvidence, asked: RegistryEvidence, spot: Spot
    ) -> None:
        if evidence.declared_simulated:
            self._say_other_chain("registry", spot)
            return
        message = (
            f"The receipt names block {recorded.block_number} with hash {recorded.block_hash}; "
            f"the chain that was asked has {asked.block_hash} there."
        )
        self.say("failed", "other-block", message, *spot)

    def _say_other_chain(self, what: str, spot: Spot) -> None:
        """Every start of a simulated network has chains of its own."""
        message = (
            "This RPC does not serve the simulated chain of the receipt; "
            f"the {what} stays recorded."
        )
        self.say("note", "other-chain", message, *spot)

    def _revoked_since(self, tee_id: str, asked: RegistryEvidence, spot: Spot) -> str | None:
        """What became of an entry that was active at its block (attack 5): said, and no fault of
        the receipt."""
        look = getattr(self.rpc_reader, "revoked_since", None)
        if look is None:
            return None
        try:
            since: str | None = look(tee_id, asked.block_number)
        except OpgError as error:
            message = f"What became of the host later is not known: {error.message}"
            self.say("note", "since-not-asked", message, *spot)
            return None
        if since is None:
            return None
        when = f"block {asked.block_number} of {asked.block_time:%Y-%m-%d %H:%M} UTC"
        message = f"Since revoked: the host was active at {when}; {since}."
        self.say("note", "since-revoked", message, *spot)
        return since

    # ------------------------------------------------------------------------------------ payment

    def ask_payment(self, evidence: Evidence, trust: Trust, spot: Spot) -> tuple[Evidence, Trust]:
        """The evidence with what the payment chain shows now."""
        reader, payment = self.payment_reader, evidence.payment
        if reader is None or payment is None:
            return evidence, trust
        try:
            found = self.look_up(
                lambda: reader.settlement_of(payment.authorisation),
                "The payment could not be asked for",
                "payment-not-asked",
                spot,
            )
        except NotAnswered:
            return evidence, trust
        told = payment.settled
        told_spent = told is not None and told.status == "spent"
        if evidence.declared_simulated and found.status != "spent" and told_spent:
            self._say_other_chain("payment", spot)
            return evidence, trust
        if told is not None and told_spent and found.status == "spent":
            if (told.tx_hash, told.amount) != (found.tx_hash, found.amount):
                here, there = (
                    f"{one.tx_hash} over {_sum(one.amount, payment.token)}" for one in (told, found)
                )
                message = (
                    f"The receipt names transaction {here}; the chain that was asked shows {there}."
                )
                self.say("failed", "other-payment", message, *spot)
            # The chain knows nothing of how a payment session's sum is shared out.
            found = replace(found, shared=told.shared, remainder=told.remainder)
        if told is not None and told.tx_hash is not None and found.status == "unspent":
            # The chain knows no payment, and the receipt names one.
            found = replace(found, tx_hash=told.tx_hash)
        token = self._counted_in(evidence, payment.token, spot)
        asked = replace(evidence, payment=replace(payment, settled=found, token=token))
        if found.status == "spent" and found.nonce == payment.authorisation.nonce:
            # One transaction may settle several authorisations: what it holds for this one was
            # decoded just now.
            asked = replace(asked, payment_seen_in=())
        return asked, asked_live(trust, "payment")

    def _counted_in(self, evidence: Evidence, told: Token, spot: Spot) -> Token:
        """The token as the reader knows it: the chain tells base units, and how many make one is
        nobody's signature."""
        known: Token | None = getattr(self.payment_reader, "token", None)
        if known is None or told.address.lower() != known.address.lower():
            return told
        # A simulated network calls its token by a name of its own.
        name = told.symbol if evidence.declared_simulated else known.symbol
        if (told.symbol, told.decimals) != (name, known.decimals):
            message = (
                f"The receipt counts {told.address} as {told.symbol} with {told.decimals} "
                f"decimals; it is {known.symbol} with {known.decimals}."
            )
            self.say("failed", "other-token", message, *spot)
        return replace(known, symbol=name)

    # --------------------------------------------------------------------------------- settlement

    def ask_settlement(
        self, evidence: Evidence, trust: Trust, spot: Spot
    ) -> tuple[Evidence, Trust]:
        """The evidence with what the relay's chain shows of the data settlement."""
        reader, recorded = self.settlement_reader, evidence.settlement
        if reader is None or recorded is None:
            return evidence, trust
        try:
            found = self.look_up(
                lambda: reader.committed(recorded),
                "The settlement could not be asked for",
                "settlement-not-asked",
                spot,
            )
        except NotAnswered:
            return evidence, trust
        if evidence.declared_simulated and not found.committed:
            self._say_other_chain("settlement", spot)
            return evidence, trust
        if found.committed:
            senders = trust.relay_senders or frozenset(getattr(reader, "senders", ()))
            trust = replace(
                trust, relay=trust.relay or (found.chain_id, found.relay), relay_senders=senders
            )
        return replace(evidence, settlement=found), asked_live(trust, "settlement")

    # --------------------------------------------------------------------------------- weights

    def run_weights(self, evidence: Evidence, trust: Trust, spot: Spot) -> tuple[Evidence, Trust]:
        """The evidence with a run of the weights on this machine."""
        if self.rerun is None:
            return evidence, trust
        found = self.rerun(evidence)
        if found.weights_not_run is None:
            stated, own = evidence.weights, found.weights
            if stated and own and stated.weights_sha256 != own.weights_sha256:
                self.say(
                    "note",
                    "other-weights-stated",
                    f"The receipt's own run was of the weights sha256:{stated.weights_sha256[:16]}…"
                    f"; yours under this name are sha256:{own.weights_sha256[:16]}….",
                    *spot,
                )
            if all(finding.code != "weights-statistic" for finding in self.findings):
                self.say("note", "weights-statistic", MEASURED)
            return found, asked_live(trust, "weights")
        code, reason = found.weights_not_run
        level: Level = "note" if code in ("closed", "forced") else "incomplete"
        self.say(level, "weights-not-run", f"No weights were run again: {reason}.", *spot)
        return found, trust


def asked_live(trust: Trust, claim: str) -> Trust:
    """The trust of a reader who asked about that claim."""
    return replace(trust, asked=trust.asked | {claim})


def _sum(amount: int | None, token: Token) -> str:
    return "no known sum" if amount is None else str(Money(amount, token))
