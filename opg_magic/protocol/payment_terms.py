"""Chooses the payment terms that may be signed among those that a host offers.

Nothing that a host writes is signed as it stands.  Every signed field comes from the network's
profile, from the host registry or from what the user pinned.  The host's figure is only compared
with it, and an error names both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opg_magic.errors import PaymentRefused
from opg_magic.models import Host, PaymentTerms
from opg_magic.models.networks import Network
from opg_magic.protocol.addresses import ADDRESS, checksum_address
from opg_magic.protocol.x402 import DECIMAL, SCHEME, UINT256, PaymentRequired

TRANSFER_METHOD = "permit2"
#: Names under which an offer could say who may draw the tokens.  The spender is never taken from
#: there.
_SPENDER_KEYS = ("spender", "spenderAddress", "proxy", "proxyAddress")
_PERMIT2_KEYS = ("permit2", "permit2Address", "verifyingContract")


def choose_terms(
    required: PaymentRequired,
    network: Network,
    host: Host,
    *,
    resource_url: str | None = None,
    pinned_payees: Iterable[str] = (),
    pinned_facilitators: Iterable[str] = (),
    min_seconds: int = 0,
) -> tuple[PaymentTerms, tuple[str, ...]]:
    """Return the offer that this network allows, and what a person should know about it.

    May be paid: the host's registered payment address, the network's payees and ``pinned_payees``.
    May settle: the network's facilitators and ``pinned_facilitators``.  The deadline must leave
    ``min_seconds``.  Of several allowed offers, the lowest cap is chosen, then the longest
    deadline.  How high a cap may be is for the user's limits.

    Raises :class:`PaymentRefused`, naming the offered and the allowed figure, if no offer is
    allowed (attack 21)."""
    payees = {a.lower(): a for a in (host.payment_address, *network.payees, *pinned_payees)}
    facilitators = {a.lower(): a for a in (*network.facilitators, *pinned_facilitators)}
    allowed = _Allowed(network, payees, facilitators, min_seconds)
    good: list[PaymentTerms] = []
    refusals: list[str] = []
    for offer in required.accepts:
        try:
            good.append(_checked(offer, required.resource, allowed))
        except PaymentRefused as refused:
            if refused.message not in refusals:
                refusals.append(refused.message)
    if not good:
        raise PaymentRefused(
            "; ".join(refusals[:4]),
            hint="Nothing was signed. Another host may offer allowed terms. Your settings can pin "
            "an address, and session_idle sets how long a host takes to settle.",
        )
    terms = min(good, key=lambda t: (t.amount, -t.max_timeout_seconds))
    return terms, _notes(terms, host, network, resource_url)


@dataclass(frozen=True, slots=True)
class _Allowed:
    """What an offer may name: addresses by their lower-case form."""

    network: Network
    payees: Mapping[str, str]
    facilitators: Mapping[str, str]
    min_seconds: int

    @property
    def chain(self) -> str:
        return f"eip155:{self.network.payment_chain_id}"


def _checked(
    offer: Mapping[str, Any], resource: Mapping[str, Any], allowed: _Allowed
) -> PaymentTerms:
    """One offer checked field by field, or :class:`PaymentRefused` with both figures."""
    token = allowed.network.token
    _equal("scheme", offer.get("scheme"), SCHEME)
    _equal("network", offer.get("network"), allowed.chain)
    asset = _address("asset", offer.get("asset"))
    if asset.lower() != token.address.lower():
        raise PaymentRefused(
            f"the host asks for asset {asset}; this network pays in {token.symbol} {token.address}"
        )
    facilitator = _facilitator(offer, allowed)
    pay_to = _address("payee", offer.get("payTo"))
    if pay_to.lower() not in allowed.payees:
        raise PaymentRefused(
            f"the host asks to pay {pay_to}; allowed: {', '.join(allowed.payees.values())}"
        )
    return PaymentTerms(
        scheme=SCHEME,
        network=allowed.chain,
        asset=checksum_address(asset),
        amount=_amount(offer.get("amount")),
        pay_to=checksum_address(pay_to),
        max_timeout_seconds=_seconds(offer.get("maxTimeoutSeconds"), allowed.min_seconds),
        facilitator=checksum_address(facilitator),
        accepted=offer,
        resource=resource,
    )


def _facilitator(offer: Mapping[str, Any], allowed: _Allowed) -> str:
    """The facilitator that an offer's ``extra`` names, if that names nothing else than is allowed
    either."""
    extra = offer.get("extra", {})
    if not isinstance(extra, dict):
        raise PaymentRefused(
            "the host's `extra` is not an object; it must name transfer method and facilitator"
        )
    _equal("transfer method", extra.get("assetTransferMethod"), TRANSFER_METHOD)
    for keys, name, ours in (
        (_SPENDER_KEYS, "spender", allowed.network.upto_proxy),
        (_PERMIT2_KEYS, "Permit2", allowed.network.permit2),
    ):
        for key in keys:
            if key in extra and str(extra[key]).lower() != ours.lower():
                raise PaymentRefused(
                    f"the host names {name} {_shown(extra[key])}; this network allows only {ours}"
                )
    facilitator = _address("facilitator", extra.get("facilitatorAddress"))
    if facilitator.lower() not in allowed.facilitators:
        known = ", ".join(allowed.facilitators.values()) or "none: pin one first"
        raise PaymentRefused(f"the host names facilitator {facilitator}; allowed: {known}")
    return facilitator


def _notes(
    terms: PaymentTerms, host: Host, network: Network, resource_url: str | None
) -> tuple[str, ...]:
    notes: list[str] = []
    if terms.pay_to.lower() != host.payment_address.lower():
        notes.append(
            f"The payee {terms.pay_to} is pinned, and differs from the host's registered payment "
            f"address {checksum_address(host.payment_address)}."
        )
    url = terms.resource.get("url")
    if resource_url is not None and url != resource_url:
        notes.append(
            f"The host names the resource {_shown(url)}; this call asked for {resource_url}. That "
            f"is not signed."
        )
    return tuple(notes)


def _equal(name: str, offered: object, ours: str) -> None:
    if offered != ours:
        raise PaymentRefused(
            f"the host asks for {name} {_shown(offered)}; this network allows {ours}"
        )


def _address(name: str, value: object) -> str:
    if not isinstance(value, str) or not ADDRESS.fullmatch(value):
        raise PaymentRefused(f"the host's {name} {_shown(value)} is not an address of 20 bytes")
    return value


def _amount(value: object) -> int:
    if not isinstance(value, str) or not DECIMAL.fullmatch(value) or not 0 < int(value) < UINT256:
        raise PaymentRefused(
            f"the host's cap {_shown(value)} is not a decimal number of base units above 0"
        )
    return int(value)


def _seconds(value: object, least: int) -> int:
    if type(value) is not int or value <= 0:
        raise PaymentRefused(
            f"the host's deadline is {_shown(value)}; it must be a whole number of seconds above 0"
        )
    if value < least:
        raise PaymentRefused(
            f"the host offers a deadline of {value} s; this call needs {least} s, to be answered "
            f"and settled"
        )
    return value


def _shown(value: object) -> str:
    """A host's value in a message: short, and as a Python literal, so that control characters stay
    inert."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
