"""Lies in what is settled: the payment on its chain, and the published hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opg_magic.simnet.host.conduct import (
    Enclave,
    Honest,
)
from opg_magic.simnet.payment.facilitator import Facilitator, SignedPayment
from opg_magic.simnet.payment.sessions import Session

if TYPE_CHECKING:
    pass


class SettleTooMuch(Honest):
    mode = "settle-too-much"
    says = "charges ten times what the calls cost, up to the signed cap"

    async def settle(
        self, facilitator: Facilitator, payment: SignedPayment, amount: int
    ) -> str | None:
        return await facilitator.settle(payment, min(10 * amount, payment.authorisation.cap))


class SettleOtherPayee(Honest):
    mode = "settle-other-payee"
    says = "lets a stranger have the payment, through a contract that is not what it should be"

    async def settle(
        self, facilitator: Facilitator, payment: SignedPayment, amount: int
    ) -> str | None:
        return await facilitator.settle(payment, amount, crooked=True)


class NeverSettle(Honest):
    mode = "never-settle"
    says = "settles nothing: neither the payment nor the answer's hashes are ever found on a chain"
    manner = "never"

    async def settle(
        self, facilitator: Facilitator, payment: SignedPayment, amount: int
    ) -> str | None:
        return None


class DoubleNonce(Honest):
    mode = "double-nonce"
    says = (
        "calls every session expired, and charges each call to all authorisations that it was given"
    )
    keeps_sessions = False

    def charged(self, host: Enclave, session: Session) -> list[Session]:
        return host.sessions.open


class BatchOmitLeaf(Honest):
    mode = "batch-omit-leaf"
    says = "commits a batch without the answer's leaf"
    manner = "omit-leaf"


class BatchWrongRoot(Honest):
    mode = "batch-wrong-root"
    says = "commits another root than that of the batch it publishes"
    manner = "wrong-root"


class BatchForeignRelay(Honest):
    mode = "batch-foreign-relay"
    says = "commits its batch to a contract that is not the settlement relay"
    manner = "foreign-relay"


class BatchOtherSender(Honest):
    mode = "batch-other-sender"
    says = "has its batch committed by a stranger: the relay is open to anyone"
    manner = "other-sender"
