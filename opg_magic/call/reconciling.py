"""What is learnt after a call: what its authorisation was charged, and where its hashes were put on
record.

Nothing here holds a cell back.  What the chains show is appended to the ledger beside the receipt
as it was made; a reservation falls to what was taken (protocol sections 5 and 6; verification,
"payment", "settlement")."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from opg_magic import errors
from opg_magic.models import Answer, BatchEvidence, IndividualEvidence, SettlementTx, Trust
from opg_magic.models.networks import Network

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger, OpenAuthorisation
    from opg_magic.network.relay import SettlementReader
    from opg_magic.receipt.document import Receipt
    from opg_magic.settings.config import Settings
    from opg_magic.wallet.chain import PaymentChain

log = logging.getLogger(__name__)

#: An authorisation younger than this is left alone: its session may still be open, so nothing can
#: be settled yet.
RECONCILE_AFTER = timedelta(seconds=85)

#: How long after a call its batch is looked for by itself; later, ``settle`` looks when it is asked
#: to.
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


class Reconciler:
    """Asks the chains about one network's calls, for one ledger."""

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
        self._reader: SettlementReader | None = None
        self._watching: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        for task in tuple(self._watching):
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        if self._reader is not None:
            await self._reader.aclose()
            self._reader = None

    # ------------------------------------------------------------------------------------- payments

    async def payments(self, *, at_most: int = 50, young: bool = False) -> int:
        """Let reservations fall to what the payment chain shows was taken; returns how many became
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
        return list(self._ledger.receipts(wanted, on_damage=_passed_over)) if wanted else []

    # ---------------------------------------------------------------------------------- settlements

    async def settlements(self, ids: Iterable[str] | None = None) -> list[Outcome]:
        """Look for the batches (or events) of calls whose hashes are to be put on record and were
        not seen there yet.

        ``ids``: only these receipts; else all of this network in the ledger.
        """
        wanted = None if ids is None else list(ids)
        receipts = [
            r for r in self._ledger.receipts(wanted, on_damage=_passed_over) if self._is_waiting(r)
        ]
        return [await self._settlement(receipt) for receipt in receipts]

    async def wait_for_settlements(self, ids: Iterable[str] | None = None) -> list[Outcome]:
        """Look again and again until nothing waits, or for :data:`LOOK_FOR`; the last word on each
        receipt."""
        wanted = None if ids is None else list(ids)
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + LOOK_FOR.total_seconds(), FIRST_LOOK
        last: dict[str, Outcome] = {}
        while True:
            now = {outcome.receipt_id: outcome for outcome in await self.settlements(wanted)}
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
            await self.wait_for_settlements([receipt_id])
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


def shown_again(
    receipt: Receipt,
    settings: Settings,
    *,
    simulated_roots: frozenset[str],
    include_withheld: bool = False,
) -> Answer:
    """An answer out of one's own ledger, with the verdict that follows from what was learnt since.

    Registry and channel stay as this user's own kernel asked them.  Raises what
    :meth:`Receipt.answer` raises; an answer that was handed out, and fails by what was learnt
    since, is withheld like any other."""
    answer = _judged_again(
        receipt.answer(include_withheld=include_withheld), settings, simulated_roots
    )
    if answer.verdict.withheld and not include_withheld:
        raise errors.AnswerWithheld(
            f"the answer of call {receipt.id} no longer passes: {answer.verdict.why}",
            hint=f"To read the text all the same: %opg show {receipt.id} --unverified",
            verdict=answer.verdict,
            receipt=receipt,
            cost=answer.cost,
            charge=answer.cost.charge,
            receipt_id=receipt.id,
        )
    return answer


def _judged_again(answer: Answer, settings: Settings, simulated_roots: frozenset[str]) -> Answer:
    from opg_magic.verify import judge
    from opg_magic.verify.policy import policy, requiring

    if answer.receipt.supersedes is None:
        return answer
    trust = Trust(
        simulated_roots=simulated_roots,
        skew_seconds=settings.get("skew"),
        reader=False,
        asked=frozenset({"registry", "channel", "payment", "settlement"}),
        payees=frozenset(settings.get("payees")),
    )
    demanded = requiring(policy(settings.get("policy")), settings.get("required_claims"))
    return replace(answer, verdict=judge(answer.receipt.evidence(), policy=demanded, trust=trust))


def _passed_over(receipt_id: str, what: str) -> None:
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
