"""Looks for the transaction that used an authorisation, by its Permit2 nonce."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from opg_magic.errors import NetworkUnavailable, RpcsDisagree
from opg_magic.models import Authorisation
from opg_magic.models.networks import Network
from opg_magic.network.abi import event_topic
from opg_magic.network.contract_call import read_number
from opg_magic.network.rpc import Block, Rpc, first_block_since, logs
from opg_magic.network.rpc_group import agreed
from opg_magic.protocol.addresses import ADDRESS
from opg_magic.protocol.x402 import VALID_AFTER_MARGIN
from opg_magic.wallet.settle_call import Terms, moved, settle_calls

#: Clocks of chain and signer may differ by this many seconds when the blocks of a settlement are
#: looked for.
TIME_MARGIN = 120
#: Bounds of that search: blocks in all, transactions examined.
MAX_BLOCKS = 20_000
MAX_CANDIDATES = 300

#: Whether a call is the one that is looked for.
Fits = Callable[[Terms, Authorisation], bool]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of an authorisation, as of block ``seen_at`` of the payment chain.

    ``open``: not used, and its deadline has not passed on the chain.  ``unspent``: never used
    before its deadline passed, so that nothing can be charged any more.  ``spent``: used.  Then
    ``amount`` (base units), ``payee``, ``token``, ``tx_hash`` and the block's fields belong to the
    transaction that used it, and ``terms`` is what its calldata says; they are None if that
    transaction was not found."""

    status: Literal["open", "spent", "unspent"]
    amount: int | None = None
    tx_hash: str | None = None
    block_number: int | None = None
    block_time: datetime | None = None
    payee: str | None = None
    token: str | None = None
    seen_at: int | None = None
    rpcs: tuple[str, ...] = ()
    block_hash: str | None = None
    terms: Terms | None = None


def common_settlement(found: Mapping[Rpc, Settlement]) -> Settlement:
    """Return what these RPCs say together of one authorisation.

    Raises :class:`RpcsDisagree` if one says that it was spent and another that it never can be, or
    if they name different transactions."""
    statuses = {settlement.status for settlement in found.values()}
    labels = tuple(rpc.label for rpc in found)
    if {"spent", "unspent"} <= statuses:
        raise RpcsDisagree(
            f"RPCs {', '.join(labels)} disagree on whether the authorisation was spent"
        )
    # One RPC may be a few blocks behind another: then it is not over yet.
    status = "open" if "open" in statuses else statuses.pop()
    settlements = {rpc: s for rpc, s in found.items() if s.status == status}
    located = {rpc: s for rpc, s in settlements.items() if s.amount is not None}
    if located:
        agreed(
            {
                rpc: (s.amount, s.tx_hash, s.payee, s.token, s.block_hash, s.terms)
                for rpc, s in located.items()
            },
            "the transaction that settled the authorisation",
        )
    best = next(iter((located or settlements).values()))
    return replace(best, rpcs=labels)


class SettlementSearch:
    """Searches one network's payment chain for one authorisation, through one RPC at a time."""

    def __init__(self, network: Network, auth: Authorisation, fits: Fits) -> None:
        """``fits``: whether a call of ``settle`` counts as the one that is looked for."""
        self._network = network
        self._auth = auth
        self._fits = fits

    async def ask(self, rpc: Rpc) -> Settlement:
        """Return what became of the authorisation, as this RPC shows it.

        Raises :class:`NetworkUnavailable`, and :class:`opg_magic.network.rpc.RpcError`."""
        auth = self._auth
        head = await rpc.block("latest")
        if not ADDRESS.fullmatch(auth.payer) or auth.nonce >= 2**256:
            # A receipt of somebody's may name any text: nobody of that name can have paid.
            return Settlement("unspent", seen_at=head.number)
        bitmap = await read_number(
            rpc,
            "permit2",
            "nonceBitmap",
            self._network.permit2,
            auth.payer,
            auth.nonce >> 8,
            block=head.number,
        )
        if not bitmap >> (auth.nonce & 0xFF) & 1:
            # Permit2 accepts a signature up to and including its deadline.
            past = head.timestamp > auth.deadline
            return Settlement("unspent" if past else "open", seen_at=head.number)
        spent = await self._spending_transaction(rpc, head)
        return spent or Settlement("spent", seen_at=head.number)

    async def _spending_transaction(self, rpc: Rpc, head: Block) -> Settlement | None:
        auth = self._auth
        signed_at = auth.valid_after + VALID_AFTER_MARGIN
        first = await first_block_since(rpc, signed_at - TIME_MARGIN, head)
        last = head
        if head.timestamp > auth.deadline + TIME_MARGIN:
            last = await first_block_since(rpc, auth.deadline + TIME_MARGIN, head)
        for candidates in (self._transfers, self._settled):
            hashes = await candidates(rpc, first.number, last.number)
            for tx_hash in hashes:
                found = await self._examined(rpc, tx_hash, head)
                if found is not None:
                    return found
        return None

    async def _transfers(self, rpc: Rpc, first: int, last: int) -> list[str]:
        """Transactions that moved the payer's tokens, to anyone: a wrong payee must be seen too."""
        payer = "0x" + self._auth.payer[2:].lower().rjust(64, "0")
        topics = [event_topic("erc20", "Transfer"), payer]
        return await self._hashes(rpc, self._network.token.address, topics, first, last)

    async def _settled(self, rpc: Rpc, first: int, last: int) -> list[str]:
        """All settlements through the proxy: finds one that moved nothing, or another token."""
        topics = [event_topic("upto_proxy", "Settled")]
        return await self._hashes(rpc, self._network.upto_proxy, topics, first, last)

    async def _hashes(
        self, rpc: Rpc, address: str, topics: list[str], first: int, last: int
    ) -> list[str]:
        found = await logs(rpc, address, topics, first, min(last, first + MAX_BLOCKS - 1))
        return list(dict.fromkeys(log.tx_hash for log in found))[:MAX_CANDIDATES]

    async def _examined(self, rpc: Rpc, tx_hash: str, head: Block) -> Settlement | None:
        """The settlement in this transaction, if its calldata fits the authorisation."""
        auth = self._auth
        transaction, receipt = await asyncio.gather(
            rpc.call("eth_getTransactionByHash", [tx_hash]),
            rpc.call("eth_getTransactionReceipt", [tx_hash]),
        )
        if not isinstance(transaction, Mapping) or not isinstance(receipt, Mapping):
            return None
        if rpc.quantity(receipt.get("status")) != 1:
            return None
        calls = settle_calls(rpc.data(transaction.get("input")))
        # Exactly what was signed goes before what merely has its nonce: a facilitator may bundle
        # calls.
        terms = next((t for t in calls if t.settles(auth)), None) or next(
            (t for t in calls if self._fits(t, auth)), None
        )
        if terms is None:
            return None
        number = rpc.quantity(receipt.get("blockNumber"))
        if number > head.number:
            return None
        token, payee, amount = moved(receipt.get("logs"), auth, terms.amount)
        block = await rpc.block(number)
        if block.hash != rpc.hash(receipt.get("blockHash")):
            raise NetworkUnavailable(
                f"RPC {rpc.label} replaced block {number} while it was being read"
            )
        return Settlement(
            "spent",
            amount,
            tx_hash,
            number,
            block.time,
            payee,
            token,
            head.number,
            block_hash=block.hash,
            terms=terms,
        )
