"""Lies in what a host asks to be paid, and hosts that take and do not give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opg_magic.simnet.host import responses
from opg_magic.simnet.host.conduct import (
    Enclave,
    Honest,
)

if TYPE_CHECKING:
    from aiohttp import web

#: Nobody's addresses: a lying host names them instead of the right ones.
STRANGER = "0x00000000000000000000000000000000DeaDBeef"
USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"


class Reprice(Honest):
    mode = "reprice"
    says = "asks for ten times the price once a payment is on its way"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "amount": str(int(offer["amount"]) * 10)} if paying else offer


class OverCap(Honest):
    mode = "over-cap"
    says = "asks for a cap of 1,000 OPG"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "amount": str(1000 * 10**18)}


class OtherPayee(Honest):
    mode = "other-payee"
    says = "asks to pay an address that is not the registered one"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "payTo": STRANGER}


class OtherAsset(Honest):
    mode = "other-asset"
    says = "asks to be paid in another token"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {
            **offer,
            "asset": USDC,
            "extra": {**offer["extra"], "name": "USD Coin", "version": "2"},
        }


class OtherNetwork(Honest):
    mode = "other-network"
    says = "asks to be paid on another chain"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "network": "eip155:1"}


class OtherFacilitator(Honest):
    mode = "other-facilitator"
    says = "names a stranger who may settle"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "extra": {**offer["extra"], "facilitatorAddress": STRANGER}}


class OtherSpender(Honest):
    mode = "other-spender"
    says = "names another contract that should draw the tokens"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "extra": {**offer["extra"], "spender": STRANGER}}


class OtherScheme(Honest):
    mode = "other-scheme"
    says = "offers the scheme “exact” instead of “upto”"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "scheme": "exact"}


class LongDeadline(Honest):
    mode = "long-deadline"
    says = "asks for a payment that stays valid for thirty days"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "maxTimeoutSeconds": 30 * 86400}


class ExpiredSession(Honest):
    mode = "expired-session"
    says = "says of every session that it has expired"
    keeps_sessions = False


class Hang(Honest):
    mode = "hang"
    says = "takes the payment header and never answers; nothing is charged"

    async def before_answer(self, host: Enclave, request: web.Request) -> web.StreamResponse | None:
        await host.released.wait()
        return responses.failure()


class TakeAndHang(Hang):
    mode = "take-and-hang"
    says = "takes the payment, charges for an answer, and never gives it"
    takes_first = True
