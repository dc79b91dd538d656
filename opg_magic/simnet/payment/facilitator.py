"""Who verifies and settles payments on the simulated payment chain.

Source: the public inference facilitator, run and recorded; the reasons given for a refused payment
are its own words.

Safety: the simulated chain has the real one's id and the real contracts' addresses, so a signature
made for it would be valid on Base as well.  Therefore this facilitator has a key of its own, made
per installation, that nobody uses on a real chain (only the facilitator that is named in a
signature can settle it), and it accepts payments from the installation's own payer alone: a user's
key that strays here is refused before anything is simulated or kept."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from opg_magic.errors import MalformedMessage, SimnetError
from opg_magic.models import Authorisation
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.network.profiles import PERMIT2, UPTO_PROXY
from opg_magic.protocol import x402
from opg_magic.simnet.contracts import deploy

if TYPE_CHECKING:
    from opg_magic.simnet.chain.chain import Chain

log = logging.getLogger(__name__)
T = TypeVar("T")

#: A facilitator settles no later than this many seconds before the signed deadline.
DEADLINE_MARGIN = 6


class PaymentInvalid(Exception):
    """A payment is refused; ``reason`` is the word that a 402 carries in its ``error``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SignedPayment:
    """A ``PAYMENT-SIGNATURE`` as read: what was authorised, its signature, and which offer it says
    it accepts.

    ``key`` is a digest of the whole header: the identical header joins the same session.
    """

    authorisation: Authorisation
    signature: Secret[bytes]
    accepted: Mapping[str, Any]
    key: str


def read_payment(header: str) -> SignedPayment:
    """Read the header ``PAYMENT-SIGNATURE``.  PaymentInvalid with "Payment required" if it cannot
    be read at all."""
    try:
        message = json.loads(base64.b64decode(header, validate=True))
        if message["x402Version"] != x402.X402_VERSION:
            raise PaymentInvalid("Payment required")
        payload = message["payload"]
        accepted = message["accepted"]
        network = str(accepted["network"])
        authorisation = x402.read_public_authorisation(
            {"network": network, **payload["permit2Authorization"]}
        )
        signature = bytes.fromhex(str(payload["signature"]).removeprefix("0x"))
    except (binascii.Error, ValueError, KeyError, TypeError, MalformedMessage):
        raise PaymentInvalid("Payment required") from None
    return SignedPayment(
        authorisation, Secret(signature), accepted, hashlib.sha256(header.encode()).hexdigest()
    )


class Facilitator:
    """Verifies authorisations against the payment chain and settles them, with a key made per
    installation.

    ``payer`` is the only address whose payments it takes.
    """

    def __init__(
        self,
        chain: Chain,
        key: Secret[bytes],
        *,
        payer: str,
        network: Network,
        clock: Callable[[], float] = time.time,
    ) -> None:
        from eth_account import Account

        self._chain = chain
        self._key = key
        self._payer = payer.lower()
        self._network = network
        self._clock = clock
        self._lock = asyncio.Lock()
        self.address: str = Account.from_key(key.reveal()).address

    async def verify(self, payment: SignedPayment, offer: Mapping[str, Any]) -> None:
        """Accept the payment for this offer (one entry of ``accepts``), or raise
        :class:`PaymentInvalid`.

        Checks, in the order observed: scheme and network, spender, payee, facilitator, times,
        amount (it must equal the cap), token, signature, then on the chain: allowance, balance,
        nonce, and a settlement of the whole cap."""
        auth = payment.authorisation
        for key in ("scheme", "network", "asset", "amount", "payTo"):
            if str(payment.accepted.get(key)).lower() != str(offer[key]).lower():
                # The offer that the client says it accepts is not the one that was made; the amount
                # has its own word.
                raise PaymentInvalid("No matching payment requirements")
        if auth.payer.lower() != self._payer:
            raise PaymentInvalid("payer_not_of_this_simulation")
        if auth.spender.lower() != UPTO_PROXY.lower():
            raise PaymentInvalid("invalid_permit2_spender")
        if auth.pay_to.lower() != str(offer["payTo"]).lower():
            raise PaymentInvalid("invalid_permit2_recipient_mismatch")
        if auth.facilitator.lower() != self.address.lower():
            raise PaymentInvalid("upto_facilitator_mismatch")
        now = int(self._clock())
        if auth.deadline < now + DEADLINE_MARGIN:
            raise PaymentInvalid("permit2_deadline_expired")
        if auth.valid_after > now:
            raise PaymentInvalid("permit2_not_yet_valid")
        if auth.cap != int(offer["amount"]):
            raise PaymentInvalid("permit2_amount_mismatch")
        if auth.token.lower() != str(offer["asset"]).lower():
            raise PaymentInvalid("permit2_token_mismatch")
        if self._signer(payment) != self._payer:
            raise PaymentInvalid("invalid_permit2_signature")
        await self._run(lambda: self._verify_on_chain(payment))

    async def settle(self, payment: SignedPayment, amount: int, *, crooked: bool = False) -> str:
        """Charge ``amount`` base units, at most the signed cap, in one transaction.  Returns its
        hash (0x-hex).

        The whole cap is simulated once more before, as the real one does: of two authorisations on
        a balance for one, the second is never paid.  PaymentInvalid if that fails, or the chain
        refuses.  ``crooked`` puts a proxy that pays a stranger into the proxy's place while it
        lasts: the cheat ``settle-other-payee``, and nothing else."""
        data = self._settle_call(payment, amount)
        if payment.authorisation.deadline < int(self._clock()) + DEADLINE_MARGIN:
            raise PaymentInvalid("permit2_deadline_expired")

        def send() -> str:
            self._simulate(payment)
            if crooked:
                deploy.Contract(self._chain, "CrookedProxy", UPTO_PROXY).place()
            try:
                receipt = self._chain.transact(self._key, UPTO_PROXY, data)
            finally:
                if crooked:
                    deploy.upto_proxy(self._chain).place()
            if receipt["status"] != 1:
                raise PaymentInvalid("invalid_upto_evm_transaction_failed")
            return receipt["transactionHash"].to_0x_hex()

        return await self._run(send)

    # ------------------------------------------------------------------------------------ the chain

    async def _run(self, work: Callable[[], T]) -> T:
        """The EVM is slow Python: it works in a thread, one job of ours at a time, so that streams
        keep flowing."""
        async with self._lock:
            return await asyncio.to_thread(work)

    def _signer(self, payment: SignedPayment) -> str:
        from eth_account import Account
        from eth_account.messages import encode_typed_data

        message = encode_typed_data(
            full_message=x402.typed_data(payment.authorisation, self._network)
        )
        try:
            return str(
                Account.recover_message(message, signature=payment.signature.reveal())
            ).lower()
        except Exception:  # eth-keys has many words for one thing: this is no signature
            return ""

    def _verify_on_chain(self, payment: SignedPayment) -> None:
        auth = payment.authorisation
        token = deploy.opg(self._chain)
        if token.read("allowance", auth.payer, PERMIT2) < auth.cap:
            raise PaymentInvalid("permit2_allowance_required")
        if token.read("balanceOf", auth.payer) < auth.cap:
            raise PaymentInvalid("permit2_insufficient_balance")
        word = deploy.permit2(self._chain).read("nonceBitmap", auth.payer, auth.nonce >> 8)
        if word >> (auth.nonce & 0xFF) & 1:
            raise PaymentInvalid("permit2_invalid_nonce")
        self._simulate(payment)

    def _simulate(self, payment: SignedPayment) -> None:
        """PaymentInvalid if a settlement of the whole cap would fail now."""
        data = self._settle_call(payment, payment.authorisation.cap)
        try:
            self._chain.call(UPTO_PROXY, data, sender=self.address)
        except SimnetError as error:
            log.info("a settlement of the whole cap would fail: %s", error.message)
            raise PaymentInvalid("permit2_simulation_failed") from None

    def _settle_call(self, payment: SignedPayment, amount: int) -> bytes:
        auth = payment.authorisation
        return deploy.upto_proxy(self._chain).encode(
            "settle",
            ((auth.token, auth.cap), auth.nonce, auth.deadline),
            amount,
            auth.payer,
            (auth.pay_to, auth.facilitator, auth.valid_after),
            payment.signature.reveal(),
        )
