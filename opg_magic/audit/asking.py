"""Asking the reader's own RPCs about a receipt; where they cannot be asked, a claim stays what its
author recorded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from opg_magic.audit.report import Finding, Level
from opg_magic.errors import OpgError, RpcsDisagree
from opg_magic.models import (
    Authorisation,
    BatchEvidence,
    Evidence,
    Host,
    IndividualEvidence,
    RegistryEvidence,
    SettlementTx,
    Trust,
)


class RegistryLookup(Protocol):
    """Asks the reader's own RPCs for a host's entry at one block.

    One that also has ``revoked_since(tee_id, block_number) -> str | None`` tells what became of the
    entry later, in words that begin with the reason ("PCR revoked on 2026-05-06 12:00 UTC")."""

    def at_block(self, tee_id: str, block_number: int) -> RegistryEvidence: ...


class PaymentLookup(Protocol):
    """Asks the reader's own RPCs of the payment chain what became of an authorisation, by its
    nonce."""

    def settlement_of(self, authorisation: Authorisation) -> SettlementTx: ...


Settlement = BatchEvidence | IndividualEvidence


class SettlementLookup(Protocol):
    """Asks the reader's own RPCs for the relay's event in the transaction that a receipt names.

    What comes back is ``recorded`` with all that the chain knows better (block, relay, sender,
    batch size), and with ``committed`` False where there is no event with this root, or of this
    call, in that transaction.  One that also has ``senders`` names who alone may commit."""

    def committed(self, recorded: Settlement) -> Settlement: ...


@dataclass
class Asking:
    """Whom a reader asks, and what there was to say about it."""

    trust: Trust
    rpc_reader: RegistryLookup | None
    payment_reader: PaymentLookup | None
    settlement_reader: SettlementLookup | None
    findings: list[Finding] = field(default_factory=list, kw_only=True)
    _entries: dict[tuple[str, int], Host | None] = field(default_factory=dict, kw_only=True)

    def say(
        self, level: Level, code: str, message: str, where: str | None = None, id: str | None = None
    ) -> None:
        self.findings.append(Finding(level, code, message, where, id))

    def entry_at(self, tee_id: str, block_number: int) -> Host | None:
        """The registry's entry of a host at a block; None where it is not listed.  Raises what the
        reader raises."""
        key = (tee_id.lower(), block_number)
        if key not in self._entries and self.rpc_reader is not None:
            self._entries[key] = self.rpc_reader.at_block(tee_id.lower(), block_number).entry
        return self._entries.get(key)

    def ask_registry(self, evidence: Evidence, where: str, id: str) -> tuple[Evidence, Trust]:
        if self.rpc_reader is None or evidence.host is None or evidence.registry is None:
            return evidence, self.trust
        recorded = evidence.registry
        try:
            asked = self.rpc_reader.at_block(evidence.host.tee_id, recorded.block_number)
        except RpcsDisagree as error:
            self.say("failed", "rpcs-disagree", error.message, where, id)
            trust = replace(self.trust, asked=self.trust.asked | {"registry"})
            return replace(evidence, registry=replace(recorded, disagreement=error.message)), trust
        except OpgError as error:
            # The claim stays what it was: recorded.
            self.say(
                "note",
                "registry-not-asked",
                f"The registry could not be asked: {error.message}",
                where,
                id,
            )
            return evidence, self.trust
        if asked.block_hash.lower() != recorded.block_hash.lower():
            if evidence.declared_simulated:
                message = "This RPC does not serve the simulated chain of the receipt; the registry stays recorded."
                self.say("note", "other-chain", message, where, id)
                return evidence, self.trust
            message = (
                f"The receipt names block {recorded.block_number} with hash {recorded.block_hash}; "
                f"the chain that was asked has {asked.block_hash} there."
            )
            self.say("failed", "other-block", message, where, id)
            return evidence, self.trust
        self._entries[evidence.host.tee_id.lower(), recorded.block_number] = asked.entry
        if asked.active:
            asked = replace(
                asked, since=self._revoked_since(evidence.host.tee_id, asked, where, id)
            )
        # What the reader's own RPC was asked about is the registry that this reader means.
        trust = replace(
            self.trust, registry=self.trust.registry or (asked.chain_id, asked.contract)
        )
        return replace(evidence, registry=asked), asking(trust, "registry")

    def _revoked_since(
        self, tee_id: str, asked: RegistryEvidence, where: str, id: str
    ) -> str | None:
        """What became of an entry that was active at its block (attack 5): said, and no fault of
        the receipt."""
        look = getattr(self.rpc_reader, "revoked_since", None)
        if look is None:
            return None
        try:
            since: str | None = look(tee_id, asked.block_number)
        except OpgError as error:
            self.say(
                "note",
                "since-not-asked",
                f"What became of the host later is not known: {error.message}",
                where,
                id,
            )
            return None
        if since is None:
            return None
        when = f"block {asked.block_number} of {asked.block_time:%Y-%m-%d %H:%M} UTC"
        self.say(
            "note",
            "since-revoked",
            f"Since revoked: the host was active at {when}; {since}.",
            where,
            id,
        )
        return since

    def ask_payment(
        self, evidence: Evidence, trust: Trust, where: str, id: str
    ) -> tuple[Evidence, Trust]:
        """What the payment chain shows now; where it cannot be asked the claim stays what the
        author recorded."""
        payment = evidence.payment
        if self.payment_reader is None or payment is None:
            return evidence, trust
        try:
            found = self.payment_reader.settlement_of(payment.authorisation)
        except RpcsDisagree as error:
            self.say("failed", "rpcs-disagree", error.message, where, id)
            return evidence, trust
        except OpgError as error:
            self.say(
                "note",
                "payment-not-asked",
                f"The payment could not be asked for: {error.message}",
                where,
                id,
            )
            return evidence, trust
        told = payment.settled
        if (
            evidence.declared_simulated
            and found.status != "spent"
            and told is not None
            and told.status == "spent"
        ):
            message = "This RPC does not serve the simulated chain of the receipt; the payment stays recorded."
            self.say("note", "other-chain", message, where, id)
            return evidence, trust
        if told is not None and told.status == "spent" and found.status == "spent":
            if (told.tx_hash, told.amount) != (found.tx_hash, found.amount):
                message = (
                    f"The receipt names transaction {told.tx_hash} over {told.amount} base units; "
                    f"the chain that was asked shows {found.tx_hash} over {found.amount}."
                )
                self.say("failed", "other-payment", message, where, id)
            # How the session's sum is shared out is no matter of the chain.
            found = replace(found, shared=told.shared, remainder=told.remainder)
        if told is not None and told.tx_hash is not None and found.status == "unspent":
            # The chain knows no payment, and the receipt names one.
            found = replace(found, tx_hash=told.tx_hash)
        asked = replace(evidence, payment=replace(payment, settled=found))
        if found.status == "spent" and found.nonce == payment.authorisation.nonce:
            # One transaction may settle several authorisations: what it holds for this one was
            # decoded just now.
            asked = replace(asked, payment_seen_in=())
        return asked, asking(trust, "payment")

    def ask_settlement(
        self, evidence: Evidence, trust: Trust, where: str, id: str
    ) -> tuple[Evidence, Trust]:
        recorded = evidence.settlement
        if self.settlement_reader is None or recorded is None:
            return evidence, trust
        try:
            found = self.settlement_reader.committed(recorded)
        except RpcsDisagree as error:
            self.say("failed", "rpcs-disagree", error.message, where, id)
            return evidence, trust
        except OpgError as error:
            message = f"The settlement could not be asked for: {error.message}"
            self.say("note", "settlement-not-asked", message, where, id)
            return evidence, trust
        if evidence.declared_simulated and not found.committed:
            message = "This RPC does not serve the simulated chain of the receipt; the settlement stays recorded."
            self.say("note", "other-chain", message, where, id)
            return evidence, trust
        if found.committed:
            senders = trust.relay_senders or frozenset(
                getattr(self.settlement_reader, "senders", ())
            )
            trust = replace(
                trust, relay=trust.relay or (found.chain_id, found.relay), relay_senders=senders
            )
        return replace(evidence, settlement=found), asking(trust, "settlement")


def asking(trust: Trust, name: str) -> Trust:
    return replace(trust, asked=trust.asked | {name})
