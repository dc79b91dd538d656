"""What authorisations were charged, learnt from the payment chain after the calls.

Nothing here holds a cell back.  The chain's word is appended to the ledger beside the receipt, and
the reservation is lowered to the settled amount."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.models import SettlementTx
from opg_magic.models.networks import Network

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger, OpenAuthorisation
    from opg_magic.receipt.document import Receipt
    from opg_magic.wallet.chain import PaymentChain

log = logging.getLogger(__name__)

#: An authorisation younger than this is left alone: its session may still be open, so nothing can
#: be settled yet.
RECONCILE_AFTER = timedelta(seconds=85)


class PaymentReconciler:
    """Asks the payment chain about one network's authorisations, for one ledger."""

    def __init__(
        self,
        network: Network,
        chain: PaymentChain,
        ledger: Ledger,
        *,
        live: Callable[[], Iterable[int]],
    ) -> None:
        """``live`` gives the nonces of sessions that are still open in this kernel."""
        self._network = network
        self._chain = chain
        self._ledger = ledger
        self._live = live

    async def payments(self, *, at_most: int = 50, young: bool = False) -> int:
        """Lower reservations to what the payment chain shows was taken; returns how many became
        known.

        An authorisation counts with its whole cap until its nonce is seen spent (then with the
        settled amount), or unspent in a block past its deadline (then with nothing).  What cannot
        be told yet stays reserved. ``young``: ask about those of the last :data:`RECONCILE_AFTER`,
        too."""
        from opg_magic.ledger.store import network_key

        live = set(self._live())
        now = datetime.now(UTC)
        waiting = [
            entry
            for entry in self._ledger.open_authorisations(network=network_key(self._network))
            if entry.authorisation.nonce not in live
            and (young or now - entry.created_at > RECONCILE_AFTER)
        ]
        known = await asyncio.gather(*(self._payment(entry) for entry in waiting[:at_most]))
        return sum(known)

    async def _payment(self, entry: OpenAuthorisation) -> bool:
        authorisation = entry.authorisation
        try:
            found = await self._chain.payment_evidence(authorisation)
        except errors.OpgError as problem:
            # Not knowing is safe: the cap stays reserved, and the next call or `%opg reconcile`
            # asks again.
            log.info("an authorisation could not be reconciled: %s", problem.message)
            return False
        amount = 0 if found.status == "unspent" else found.amount
        if found.status not in ("spent", "unspent") or amount is None:
            return False
        receipts = [r for r in self._receipts(entry.calls) if r.document["payment"] is not None]
        lost = {one.call.id for one in self._ledger.unfinished(include_running=True)} & set(
            entry.calls
        )
        found = _shared_out(found, receipts, lost, amount)
        proof = {"status": found.status, "transaction": found.tx_hash, "block": found.block_number}
        # The receipts first: a process that ends here asks again, and says the same again.
        for receipt in receipts:
            try:
                self._ledger.supplement(receipt.id, found)
            except errors.LedgerError as problem:
                log.warning(
                    "a payment could not be added to receipt %s: %s", receipt.id, problem.message
                )
        self._ledger.release(authorisation, min(amount, authorisation.cap), proof)
        return True

    def _receipts(self, ids: Iterable[str]) -> list[Receipt]:
        wanted = list(ids)
        return list(self._ledger.receipts(wanted, on_damage=passed_over)) if wanted else []


def passed_over(receipt_id: str, what: str) -> None:
    """Log that a damaged receipt is left out of a search."""
    log.warning("receipt %s is damaged in the ledger, and is passed over: %s", receipt_id, what)


def _shared_out(
    found: SettlementTx, receipts: list[Receipt], lost: Iterable[str], amount: int
) -> SettlementTx:
    """A session's sum shared out over its calls by their cost by the host's figures."""
    from opg_magic.wallet.shares import share_out

    estimates = {receipt.id: receipt.document["payment"]["estimate"] for receipt in receipts}
    claimed: dict[str, int | None] = {
        id: int(e["amount"]) if e else None for id, e in estimates.items()
    }
    # Begun and never ended, its kernel died: it may be in the sum as well.
    claimed |= dict.fromkeys(lost, None)
    shares, remainder = share_out(amount, claimed)
    return replace(found, shared=shares, remainder=remainder)
