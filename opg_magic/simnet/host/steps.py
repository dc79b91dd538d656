"""The steps that every answer takes, streamed or whole: reach the model, sign, charge, publish."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from opg_magic.models import Kind, ModelPrice
from opg_magic.protocol import canonical
from opg_magic.protocol.merkle import BatchItem
from opg_magic.settings import prices
from opg_magic.simnet.model.interface import Model, ModelDown, Reply, Usage
from opg_magic.simnet.settlement.relay import UNSIGNED, Settler

if TYPE_CHECKING:
    from aiohttp import web

    from opg_magic.models.networks import Network
    from opg_magic.simnet.host.conduct import Enclave, Honest
    from opg_magic.simnet.payment.sessions import Session

log = logging.getLogger(__name__)

#: USD for one OPG, as the recorded hosts' price feed had it.
TOKEN_USD = Decimal("0.1")

#: What a host takes for a model whose price nobody published (USD per million tokens, its own
#: figure).
HOUSE_PRICE = ModelPrice(Decimal(1), Decimal(5), "2026-04", "the simulated host's own")


@dataclass(frozen=True, slots=True)
class Proof:
    """What was signed of one answer: the five fields as they go out, when, and what may be put on
    record of it."""

    fields: dict[str, Any]
    time: int
    item: BatchItem


class Steps:
    """The steps as one host takes them, the way it behaves now.  ``settler`` publishes hashes; None
    where nothing is published."""

    def __init__(
        self, host: Enclave, *, model: Model, network: Network, settler: Settler | None
    ) -> None:
        self.host = host
        self.model = model
        self.price_list = prices.load(simulated=True)
        self._network = network
        self._settler = settler

    @property
    def cheat(self) -> Honest:
        """How the host behaves now."""
        return self.host.cheat

    async def reply(self, body: Mapping[str, Any], kind: Kind) -> Reply:
        """What the model says.  Raises ModelDown if it cannot be reached."""
        self.reach_provider()
        return await (await self.answering()).reply(self.cheat.asked(body), kind)

    async def answering(self) -> Model:
        """The model that answers now.  Raises ModelDown where there are no such weights."""
        how = self.cheat.weights
        return self.model if how == "own" else await self.model.swapped(how)

    def reach_provider(self) -> None:
        """Raise ModelDown where the provider behind the host is down."""
        if not self.cheat.provider_up:
            raise ModelDown("the provider is down")

    def proof(self, body: Mapping[str, Any], kind: Kind, output: str) -> Proof:
        """The five signed fields, in the order recorded in streams."""
        request_hash = canonical.request_hash(
            canonical.canonicalise(kind, self.cheat.signed_request(body))
        )
        output_hash = canonical.output_hash(output)
        now = int(time.time())
        timestamp = self.cheat.timestamp(now)
        signer = self.cheat.signer(self.host)
        signature = signer.sign(canonical.signed_digest(request_hash, output_hash, timestamp))
        proof = {
            "tee_signature": base64.b64encode(signature).decode(),
            "tee_timestamp": timestamp,
            "tee_request_hash": request_hash.hex(),
            "tee_output_hash": output_hash.hex(),
            "tee_id": signer.tee_id,
        }
        fields = self.cheat.proof(proof)
        recorded = signature if fields else UNSIGNED
        tee_id = bytes.fromhex(signer.tee_id.removeprefix("0x"))
        return Proof(fields, now, BatchItem(tee_id, request_hash, output_hash, recorded, timestamp))

    def record(self, request: web.Request, proof: Proof) -> None:
        """Put a charged answer's hashes into the next batch, unless its caller asked for nothing on
        record.

        A word that is not known means a batch, as observed; ``individual`` is not known any more.
        """
        wanted = request.headers.get("X-SETTLEMENT-TYPE", "").strip().lower()
        if self._settler is not None and wanted != "private":
            self._settler.add(proof.item, self.cheat.manner)

    def charge(self, session: Session, body: Mapping[str, Any], usage: Usage) -> None:
        """Charge a call to the session that pays for it, at the list's price of its model."""
        price = self.price_list.price(str(body["model"])) or HOUSE_PRICE
        usd = prices.usd(price, usage.prompt_tokens, usage.completion_tokens)
        cost = prices.in_token(usd, TOKEN_USD, self._network.token).amount
        charged = [
            self.host.sessions.charge(each, cost) for each in self.cheat.charged(self.host, session)
        ]
        if not all(charged):
            log.info(
                "a cost of %d base units was not charged: the session is closed or has less left",
                cost,
            )
