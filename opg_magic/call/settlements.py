"""Where the hashes of calls were put on chain: looked for after the calls, in the background.

Nothing here holds a cell back.  What the chain shows is appended to the ledger, beside the
receipt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from opg_magic import errors
from opg_magic.call.reconciling import passed_over
from opg_magic.models import BatchEvidence, IndividualEvidence
from opg_magic.models.networks import Network

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.network.relay import SettlementReader
    from opg_magic.receipt.document import Receipt

log = logging.getLogger(__name__)

#: How long after a call its batch is looked for automatically; later, ``settle`` looks when asked.
LOOK_FOR = timedelta(minutes=20)

#: Seconds between two looks for one batch, at first and at most.
FIRST_LOOK, LAST_LOOK = 3.0, 60.0

#: What more waiting does not change.
_OVER = ("settled", "expired")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one receipt came to: its settlement on the relay was found, is still waited for, did not
    come in time, or could not be asked."""

    receipt_id: str
    status: Literal["settled", "pending", "expired", "unknown"]
    detail: str


class SettlementFinder:
    """Looks for the data settlements of one network's calls, for one ledger."""

    def __init__(self, network: Network, ledger: Ledger) -> None:
        self._network = network
        self._ledger = ledger
        self._reader: SettlementReader | None = None
        self._watching: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        for task in tuple(self._watching):
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        if self._reader is not None:
            await self._reader.aclose()
            self._reader = None

    async def look(self, ids: Iterable[str] | None = None) -> list[Outcome]:
        """Look for the batches (or events) of calls whose hashes are to be put on record and were
        not seen there yet.

        ``ids``: only these receipts; else all of this network in the ledger.
        """
        wanted = None if ids is None else list(ids)
        receipts = [
            r for r in self._ledger.receipts(wanted, on_damage=passed_over) if self._is_waiting(r)
        ]
        return [await self._settlement(receipt) for receipt in receipts]

    async def look_until_found(self, ids: Iterable[str] | None = None) -> list[Outcome]:
        """Look again and again until nothing waits, or for :data:`LOOK_FOR`; the last word on each
        receipt."""
        wanted = None if ids is None else list(ids)
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + LOOK_FOR.total_seconds(), FIRST_LOOK
        last: dict[str, Outcome] = {}
        while True:
            now = {outcome.receipt_id: outcome for outcome in await self.look(wanted)}
            # What no longer waits was found meanwhile, by the background or by another kernel.
            elsewhere = (
                o for o in last.values() if o.status not in _OVER and o.receipt_id not in now
            )
            last |= {
                o.receipt_id: Outcome(o.receipt_id, "settled", "found meanwhile") for o in elsewhere
            } | now
            if all(outcome.status in _OVER for outcome in last.values()) or loop.time() > end:
                return list(last.values())
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LAST_LOOK)

    def watch(self, receipt_id: str) -> None:
        """Look for one call's settlement in the background until it is found or too late."""
        task = asyncio.get_running_loop().create_task(self._watch(receipt_id))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _watch(self, receipt_id: str) -> None:
        await asyncio.sleep(FIRST_LOOK)
        try:
            await self.look_until_found([receipt_id])
        except errors.OpgError as problem:
            log.info("the settlement of a call could not be looked for: %s", problem.message)

    def _is_waiting(self, receipt: Receipt) -> bool:
        document = receipt.document
        of_this_network = (document["network"]["name"], document["network"]["run_id"]) == (
            self._network.name,
            self._network.run_id,
        )
        return (
            of_this_network
            and document["request"]["settlement"] != "private"
            and document["settlement"] is None
            and document["response"]["frame"] is not None
        )

    async def _settlement(self, receipt: Receipt) -> Outcome:
        from opg_magic.protocol.frame import SignedFields, read_signed_fields
        from opg_magic.verify.settlement import PENDING

        fields = read_signed_fields(receipt.document["response"]["frame"])
        if not isinstance(fields, SignedFields):
            return Outcome(receipt.id, "unknown", "nothing was signed that could be put on record")
        if self._reader is None:
            from opg_magic.network.relay import SettlementReader

            self._reader = SettlementReader(self._network)
        batch = receipt.document["request"]["settlement"] == "batch"
        find: Callable[..., Awaitable[BatchEvidence | IndividualEvidence | None]]
        find = self._reader.find_batch if batch else self._reader.find_individual
        try:
            found = await find(
                fields.tee_id,
                fields.request_hash,
                fields.output_hash,
                fields.signature,
                fields.timestamp,
            )
        except errors.OpgError as problem:
            return Outcome(receipt.id, "unknown", problem.message)
        except ValueError as problem:
            # Signed by the host as it liked: what no event can hold must not end the search for the
            # others.
            return Outcome(receipt.id, "unknown", f"what was signed cannot stand there: {problem}")
        if found is None:
            if datetime.now(UTC) - receipt.evidence().received_at > PENDING:
                return Outcome(
                    receipt.id,
                    "expired",
                    "it did not come in time; the facilitator may have lost it",
                )
            return Outcome(receipt.id, "pending", "not on the chain yet")
        self._ledger.supplement(receipt.id, found)
        return Outcome(
            receipt.id, "settled", f"transaction {found.tx_hash}, block {found.block_number:,}"
        )
