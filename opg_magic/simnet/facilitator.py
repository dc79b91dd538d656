"""Who verifies and settles payments on the simulated payment chain, and the sessions that hosts keep of them.

Source: protocol sections 3 and 6; the reasons given for a refused payment are the field's own words.

Safety: the simulated chain has the real one's id and the real contracts' addresses, so a signature made for it would be
valid on Base as well.  Therefore this facilitator has a key of its own, made per installation, that nobody uses on a
real chain (only the facilitator that is named in a signature can settle it), and it accepts payments from the
installation's own payer alone: a user's key that strays here is refused before anything is simulated or kept.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from opg_magic.errors import MalformedMessage, SimnetError
from opg_magic.models import Authorisation
from opg_magic.networks import PERMIT2, UPTO_PROXY, Network
from opg_magic.protocol import x402
from opg_magic.secret import Secret
from opg_magic.simnet import deploy

if TYPE_CHECKING:
    from opg_magic.simnet.chain import Chain

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds without a charge after which a session is settled, as observed.
SETTLE_IDLE = 100.0

#: A facilitator settles no later than this many seconds before the signed deadline.
DEADLINE_MARGIN = 6


class PaymentInvalid(Exception):
    """A payment is refused; ``reason`` is the word that a 402 carries in its ``error``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SignedPayment:
    """A ``PAYMENT-SIGNATURE`` as read: what was authorised, its signature, and which offer it says it accepts.

    ``key`` is a digest of the whole header: the identical header joins the same session.
    """

    authorisation: Authorisation
    signature: Secret[bytes]
    accepted: Mapping[str, Any]
    key: str


def read_payment(header: str) -> SignedPayment:
    """Read the header ``PAYMENT-SIGNATURE``.  PaymentInvalid with "Payment required" if it cannot be read at all."""
    try:
        message = json.loads(base64.b64decode(header, validate=True))
        payload = message["payload"]
        accepted = message["accepted"]
        network = str(accepted["network"])
        authorisation = x402.read_public_authorisation({"network": network, **payload["permit2Authorization"]})
        signature = bytes.fromhex(str(payload["signature"]).removeprefix("0x"))
    except (binascii.Error, ValueError, KeyError, TypeError, MalformedMessage):
        raise PaymentInvalid("Payment required") from None
    return SignedPayment(authorisation, Secret(signature), accepted, hashlib.sha256(header.encode()).hexdigest())


class Facilitator:
    """Verifies authorisations against the payment chain and settles them, with a key made per installation.

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
        """Accept the payment for this offer (one entry of ``accepts``), or raise :class:`PaymentInvalid`.

        Checks, in the order observed: scheme and network, spender, payee, facilitator, times, amount (it must equal the
        cap), token, signature, then on the chain: allowance, balance, nonce, and a settlement of the whole cap.
        """
        auth = payment.authorisation
        for key in ("scheme", "network", "asset", "amount", "payTo"):
            if str(payment.accepted.get(key)).lower() != str(offer[key]).lower():
                # The offer that the client says it accepts is not the one that was made; the amount has its own word.
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
        """Charge ``amount`` base units, at most the signed cap, in one transaction.  Returns its hash (0x-hex).

        PaymentInvalid if the chain refuses.  ``crooked`` puts a proxy that pays a stranger into the proxy's place while
        it lasts: the cheat ``settle-other-payee``, and nothing else.
        """
        data = self._settle_call(payment, amount)

        def send() -> str:
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

    # ------------------------------------------------------------------------------------------------------- the chain

    async def _run(self, work: Callable[[], T]) -> T:
        """The EVM is slow Python: it works in a thread, one job of ours at a time, so that streams keep flowing."""
        async with self._lock:
            return await asyncio.to_thread(work)

    def _signer(self, payment: SignedPayment) -> str:
        from eth_account import Account
        from eth_account.messages import encode_typed_data

        message = encode_typed_data(full_message=x402.typed_data(payment.authorisation, self._network))
        try:
            return str(Account.recover_message(message, signature=payment.signature.reveal())).lower()
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
        try:
            self._chain.call(UPTO_PROXY, self._settle_call(payment, auth.cap), sender=self.address)
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


# ------------------------------------------------------------------------------------------------------------ sessions


@dataclass(slots=True)
class Session:
    """What one authorisation has paid for so far, bound to a method and a path.  ``id`` is a spending secret."""

    id: Secret[str]
    payment: SignedPayment
    method: str
    path: str
    last_charge: float
    charged: int = 0
    #: Set once no further charge is taken: settled, being settled, or out of time.
    closed: bool = False
    transaction: str | None = None
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def remaining(self) -> int:
        return self.payment.authorisation.cap - self.charged


class Sessions:
    """One host's ``upto`` sessions.  Each is settled once: idle since its last charge, or before its deadline."""

    def __init__(
        self,
        facilitator: Facilitator,
        *,
        settle_idle: Callable[[], float] = lambda: SETTLE_IDLE,
        clock: Callable[[], float] = time.time,
        on_settled: Callable[[Session], None] = lambda _: None,
        settle: Callable[[SignedPayment, int], Awaitable[str | None]] | None = None,
    ) -> None:
        """``settle`` charges a session's sum in the facilitator's stead; it gives the transaction's hash, if it did."""
        self._settle_payment = settle or facilitator.settle
        self._settle_idle = settle_idle
        self._clock = clock
        self._on_settled = on_settled
        self._by_id: dict[str, Session] = {}
        self._by_payment: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, payment: SignedPayment, method: str, path: str) -> Session | None:
        """The session of this very header, or a new one.  None if it takes no more, or is for another path."""
        known = self._by_payment.get(payment.key)
        if known is not None:
            return known if self._usable(known, method, path) else None
        session = Session(Secret(str(uuid.uuid4())), payment, method, path, self._clock())
        self._by_id[session.id.reveal()] = self._by_payment[payment.key] = session
        self._schedule(session)
        return session

    def resume(self, session_id: str, method: str, path: str) -> Session | None:
        """The open session of that id, if it may be used for this method and path."""
        session = self._by_id.get(session_id)
        return session if session is not None and self._usable(session, method, path) else None

    def charge(self, session: Session, cost: int) -> bool:
        """Add ``cost`` base units.  False, and nothing charged, if it is above the remainder or the session closed."""
        if session.closed or cost > session.remaining:
            return False
        session.charged += cost
        session.last_charge = self._clock()
        self._schedule(session)
        return True

    async def settle_all(self) -> list[str]:
        """Settle every open session now; the hashes of the transactions."""
        return [tx for tx in [await self._settle(s) for s in list(self._by_id.values())] if tx is not None]

    def reschedule(self) -> None:
        """Set all timers anew, after the clock or the idle time was changed."""
        for session in self._by_id.values():
            self._schedule(session)

    async def close(self) -> None:
        """Stop the timers and wait for settlements under way."""
        for session in self._by_id.values():
            if session.timer is not None:
                session.timer.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def open(self) -> list[Session]:
        """The sessions that are not settled yet."""
        return [session for session in self._by_id.values() if not session.closed]

    @property
    def open_count(self) -> int:
        return len(self.open)

    def _usable(self, session: Session, method: str, path: str) -> bool:
        bound = session.method == method and session.path == path
        return bound and not session.closed and session.remaining > 0

    def _schedule(self, session: Session) -> None:
        if session.closed:
            return
        if session.timer is not None:
            session.timer.cancel()
        # A second of slack beside the margin: the transaction itself takes a moment.
        latest = session.payment.authorisation.deadline - DEADLINE_MARGIN - 1
        due = min(session.last_charge + self._settle_idle(), latest) if session.remaining else self._clock()
        session.timer = asyncio.get_running_loop().call_later(max(due - self._clock(), 0), self._start, session)

    def _start(self, session: Session) -> None:
        async def settle() -> None:
            await self._settle(session)

        task = asyncio.get_running_loop().create_task(settle())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, session: Session) -> str | None:
        if session.closed:
            return None
        session.closed = True
        if session.timer is not None:
            session.timer.cancel()
        if session.charged == 0:
            return None
        try:
            session.transaction = await self._settle_payment(session.payment, session.charged)
        except Exception as error:
            # The money stays with the payer: a host's loss.  No signature, no id in the log.
            reason = error.reason if isinstance(error, PaymentInvalid) else type(error).__name__
            log.warning("a settlement of %d base units failed: %s", session.charged, reason)
            return None
        if session.transaction is not None:
            self._on_settled(session)
        return session.transaction
