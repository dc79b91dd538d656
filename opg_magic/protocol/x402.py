"""x402 v2 messages of the scheme ``upto`` over Permit2: read a 402, check its terms, shape an
authorisation.

Source: protocol section 6; EIP-712; EIP-55; Permit2 ``permitWitnessTransferFrom``.  Pure: nothing
here signs, sends, looks at a clock or draws a random number.

Nothing that a host writes is signed as it stands.  Every signed field comes from the network
profile, from the registry or from what the user pinned; the host's figure is only compared with it,
and both are named where they differ."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opg_magic.errors import MalformedMessage, PaymentRefused
from opg_magic.models import Authorisation, Host, PaymentTerms, format_units
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret

X402_VERSION = 2
SCHEME = "upto"
TRANSFER_METHOD = "permit2"

#: ``validAfter`` lies this many seconds before signing, so that a chain whose clock is behind
#: accepts it.
VALID_AFTER_MARGIN = 600

#: The longest time, in seconds, for which an offer is signed unless the caller says otherwise.
MAX_SECONDS = 600

#: Bounds on what a 402 may carry: the recorded ones are 1.9 kB of base64 with one offer.
MAX_HEADER_CHARS = 64 * 1024
MAX_OFFERS = 16
MAX_TEXT_CHARS = 2048

_UINT256 = 2**256
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,77}")
#: Names under which an offer could try to say who may draw the tokens.  The spender is never taken
#: from there.
_SPENDER_KEYS = ("spender", "spenderAddress", "proxy", "proxyAddress")
_PERMIT2_KEYS = ("permit2", "permit2Address", "verifyingContract")

_TYPES: dict[str, list[dict[str, str]]] = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    "PermitWitnessTransferFrom": [
        {"name": "permitted", "type": "TokenPermissions"},
        {"name": "spender", "type": "address"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint256"},
        {"name": "witness", "type": "Witness"},
    ],
    "TokenPermissions": [
        {"name": "token", "type": "address"},
        {"name": "amount", "type": "uint256"},
    ],
    "Witness": [
        {"name": "to", "type": "address"},
        {"name": "facilitator", "type": "address"},
        {"name": "validAfter", "type": "uint256"},
    ],
}


@dataclass(frozen=True, slots=True)
class PaymentRequired:
    """A 402 as the host wrote it: the offers to choose from, what they are for, and the host's own
    reason.

    ``extensions`` are not kept: nothing in them is ever signed or sent back.
    """

    accepts: tuple[Mapping[str, Any], ...]
    resource: Mapping[str, Any]
    error: str | None


def parse_payment_required(header: str) -> PaymentRequired:
    """Read the header ``PAYMENT-REQUIRED`` (base64 JSON).

    Raises :class:`MalformedMessage` if it is too long, not base64, not unambiguous JSON, of another
    x402 version, or without a list of offers."""
    from opg_magic.models import strict_json

    if len(header) > MAX_HEADER_CHARS:
        raise MalformedMessage(
            f"PAYMENT-REQUIRED has {len(header)} characters, at most {MAX_HEADER_CHARS} are read",
            code="too-large",
        )
    try:
        raw = base64.b64decode(header, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedMessage("PAYMENT-REQUIRED is not base64") from None
    message = strict_json.loads(raw)
    if not isinstance(message, dict):
        raise MalformedMessage("PAYMENT-REQUIRED is not a JSON object")
    version = message.get("x402Version")
    if type(version) is not int or version != X402_VERSION:
        raise MalformedMessage(
            f"PAYMENT-REQUIRED is of x402 version {version!r:.40}, known is {X402_VERSION}"
        )
    offers = message.get("accepts")
    if not isinstance(offers, list) or not offers or not all(isinstance(o, dict) for o in offers):
        raise MalformedMessage(
            "PAYMENT-REQUIRED offers nothing: `accepts` is not a list of objects"
        )
    if len(offers) > MAX_OFFERS:
        raise MalformedMessage(
            f"PAYMENT-REQUIRED has {len(offers)} offers, at most {MAX_OFFERS} are read"
        )
    resource = message.get("resource", {})
    if not isinstance(resource, dict):
        raise MalformedMessage("PAYMENT-REQUIRED: `resource` is not an object")
    error = message.get("error")
    if error is not None and not isinstance(error, str):
        raise MalformedMessage("PAYMENT-REQUIRED: `error` is not a text")
    return PaymentRequired(
        tuple(offers), resource, error[:MAX_TEXT_CHARS] if error is not None else None
    )


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
    """The offer that this network allows, and what a person should know about it.

    May be paid: the host's registered payment address, the network's payees, ``pinned_payees``.
    May settle: the network's facilitators and ``pinned_facilitators``.  A deadline below
    ``min_seconds`` is of no use.  Of several allowed offers the lowest cap is taken, then the
    longest deadline.  The user's limits say how high a cap may be.

    Raises :class:`PaymentRefused`, naming the offered and the allowed figure, if no offer is
    allowed (attack 21)."""
    payees = {a.lower(): a for a in (host.payment_address, *network.payees, *pinned_payees)}
    facilitators = {a.lower(): a for a in (*network.facilitators, *pinned_facilitators)}
    allowed: list[PaymentTerms] = []
    refusals: list[str] = []
    for offer in required.accepts:
        try:
            allowed.append(
                _terms(offer, required.resource, network, payees, facilitators, min_seconds)
            )
        except PaymentRefused as refused:
            if refused.message not in refusals:
                refusals.append(refused.message)
    if not allowed:
        raise PaymentRefused(
            "; ".join(refusals[:4]),
            hint="Nothing was signed. Another host may offer allowed terms; your settings can pin "
            "an address, and"
            " session_idle says how long a host takes to settle.",
        )
    terms = min(allowed, key=lambda t: (t.amount, -t.max_timeout_seconds))
    return terms, _notes(terms, host, network, resource_url)


def _terms(
    offer: Mapping[str, Any],
    resource: Mapping[str, Any],
    network: Network,
    payees: Mapping[str, str],
    facilitators: Mapping[str, str],
    min_seconds: int,
) -> PaymentTerms:
    """One offer checked field by field, or :class:`PaymentRefused` with both figures."""
    token = network.token
    _equal("scheme", offer.get("scheme"), SCHEME)
    chain = f"eip155:{network.payment_chain_id}"
    _equal("network", offer.get("network"), chain)
    asset = _address("asset", offer.get("asset"))
    if asset.lower() != token.address.lower():
        raise PaymentRefused(
            f"the host asks for asset {asset}; this network pays in {token.symbol} {token.address}"
        )

    extra = offer.get("extra", {})
    if not isinstance(extra, dict):
        raise PaymentRefused(
            "the host's `extra` is not an object; it must name transfer method and facilitator"
        )
    _equal("transfer method", extra.get("assetTransferMethod"), TRANSFER_METHOD)
    for keys, name, ours in (
        (_SPENDER_KEYS, "spender", network.upto_proxy),
        (_PERMIT2_KEYS, "Permit2", network.permit2),
    ):
        for key in keys:
            if key in extra and str(extra[key]).lower() != ours.lower():
                raise PaymentRefused(
                    f"the host names {name} {_shown(extra[key])}; this network allows only {ours}"
                )

    facilitator = _address("facilitator", extra.get("facilitatorAddress"))
    if facilitator.lower() not in facilitators:
        known = ", ".join(facilitators.values()) or "none: pin one first"
        raise PaymentRefused(f"the host names facilitator {facilitator}; allowed: {known}")
    pay_to = _address("payee", offer.get("payTo"))
    if pay_to.lower() not in payees:
        raise PaymentRefused(
            f"the host asks to pay {pay_to}; allowed: {', '.join(payees.values())}"
        )

    amount = _amount(offer.get("amount"))
    seconds = offer.get("maxTimeoutSeconds")
    if type(seconds) is not int or seconds <= 0:
        raise PaymentRefused(
            f"the host's deadline is {_shown(seconds)}; it must be a whole number of seconds above "
            f"0"
        )
    if seconds < min_seconds:
        raise PaymentRefused(
            f"the host offers a deadline of {seconds} s; this call needs {min_seconds} s, to be "
            f"answered and settled"
        )
    return PaymentTerms(
        scheme=SCHEME,
        network=chain,
        asset=checksum_address(asset),
        amount=amount,
        pay_to=checksum_address(pay_to),
        max_timeout_seconds=seconds,
        facilitator=checksum_address(facilitator),
        accepted=offer,
        resource=resource,
    )


def _notes(
    terms: PaymentTerms, host: Host, network: Network, resource_url: str | None
) -> tuple[str, ...]:
    notes: list[str] = []
    if terms.pay_to.lower() != host.payment_address.lower():
        notes.append(
            f"The payee {terms.pay_to} is pinned, and differs from the host's registered payment "
            f"address"
            f" {checksum_address(host.payment_address)}."
        )
    url = terms.resource.get("url")
    if resource_url is not None and url != resource_url:
        notes.append(
            f"The host names the resource {_shown(url)}; asked was {resource_url}. This is not "
            f"signed."
        )
    return tuple(notes)


def authorise(
    terms: PaymentTerms,
    network: Network,
    payer: str,
    *,
    now: int,
    nonce: int,
    max_seconds: int = MAX_SECONDS,
) -> Authorisation:
    """The authorisation to sign for ``terms``: who may take how much, until when.

    ``now`` is Unix seconds, ``nonce`` 256 random bits.  The deadline is ``now`` plus the offered
    time, or plus ``max_seconds`` if that is shorter: hosts accept a shorter one.  The cap equals
    the offer: hosts refuse any other. The spender is the network's own proxy, always.  Raises
    :class:`PaymentRefused` if the terms do not belong to this network."""
    if not 0 <= nonce < _UINT256:
        raise ValueError("a Permit2 nonce is an unsigned number of 256 bits")
    if now <= VALID_AFTER_MARGIN:
        raise ValueError("now is Unix time in seconds")
    if (
        terms.network != f"eip155:{network.payment_chain_id}"
        or terms.asset.lower() != network.token.address.lower()
    ):
        raise PaymentRefused(
            f"the terms are for {terms.network} and asset {terms.asset}; this network is"
            f" eip155:{network.payment_chain_id} and {network.token.address}"
        )
    seconds = min(terms.max_timeout_seconds, max_seconds)
    if not 0 < terms.amount < _UINT256 or seconds <= 0:
        raise PaymentRefused(
            f"the terms are {_units(terms.amount, network)} for {seconds} s; neither may be nothing"
        )
    return Authorisation(
        chain_id=network.payment_chain_id,
        payer=checksum_address(payer),
        token=checksum_address(network.token.address),
        cap=terms.amount,
        spender=checksum_address(network.upto_proxy),
        nonce=nonce,
        deadline=now + seconds,
        pay_to=checksum_address(terms.pay_to),
        facilitator=checksum_address(terms.facilitator),
        valid_after=now - VALID_AFTER_MARGIN,
    )


def typed_data(auth: Authorisation, network: Network) -> dict[str, Any]:
    """The EIP-712 message of an authorisation, whole (types, primary type, domain, message),
    numbers as ints."""
    if auth.chain_id != network.payment_chain_id:
        raise PaymentRefused(
            f"the authorisation is for chain {auth.chain_id}; this network pays on chain "
            f"{network.payment_chain_id}"
        )
    return {
        "types": {name: [dict(f) for f in fields] for name, fields in _TYPES.items()},
        "primaryType": "PermitWitnessTransferFrom",
        "domain": {
            "name": "Permit2",
            "chainId": auth.chain_id,
            "verifyingContract": checksum_address(network.permit2),
        },
        "message": {
            "permitted": {"token": auth.token, "amount": auth.cap},
            "spender": auth.spender,
            "nonce": auth.nonce,
            "deadline": auth.deadline,
            "witness": {
                "to": auth.pay_to,
                "facilitator": auth.facilitator,
                "validAfter": auth.valid_after,
            },
        },
    }


def permit2_authorization(auth: Authorisation) -> dict[str, Any]:
    """The wire's ``permit2Authorization``: addresses in EIP-55 case, numbers as decimal strings."""
    return {
        "from": auth.payer,
        "permitted": {"token": auth.token, "amount": str(auth.cap)},
        "spender": auth.spender,
        "nonce": str(auth.nonce),
        "deadline": str(auth.deadline),
        "witness": {
            "to": auth.pay_to,
            "facilitator": auth.facilitator,
            "validAfter": str(auth.valid_after),
        },
    }


def payment_header(auth: Authorisation, signature: Secret[str], terms: PaymentTerms) -> Secret[str]:
    """The value of ``PAYMENT-SIGNATURE``: a spending secret.  ``extensions`` of the 402 are not in
    it."""
    return Secret(
        base64.b64encode(
            json.dumps(
                {
                    "x402Version": X402_VERSION,
                    "payload": {
                        "permit2Authorization": permit2_authorization(auth),
                        "signature": signature.reveal(),
                    },
                    "accepted": terms.accepted,
                    "resource": terms.resource,
                },
                separators=(",", ":"),
            ).encode()
        ).decode()
    )


def public_authorisation(auth: Authorisation) -> dict[str, Any]:
    """What a receipt keeps of an authorisation: everything but its signature, in the wire's own
    shape."""
    return {"network": f"eip155:{auth.chain_id}", **permit2_authorization(auth)}


def read_public_authorisation(data: Mapping[str, Any]) -> Authorisation:
    """The inverse of :func:`public_authorisation`; MalformedMessage if the shape is another."""
    try:
        namespace, _, chain = str(data["network"]).partition(":")
        numbers = (
            chain,
            data["permitted"]["amount"],
            data["nonce"],
            data["deadline"],
            data["witness"]["validAfter"],
        )
        if namespace != "eip155" or not all(
            isinstance(n, str) and _DECIMAL.fullmatch(n) for n in numbers
        ):
            raise MalformedMessage("the authorisation's numbers are not decimal strings")
        addresses = (
            data["from"],
            data["permitted"]["token"],
            data["spender"],
            data["witness"]["to"],
            data["witness"]["facilitator"],
        )
    except (KeyError, TypeError):
        raise MalformedMessage("the authorisation lacks a field") from None
    if not all(isinstance(a, str) and _ADDRESS.fullmatch(a) for a in addresses):
        raise MalformedMessage("the authorisation's addresses are not 20 bytes of hex")
    chain_id, cap, nonce, deadline, valid_after = (int(n) for n in numbers)
    payer, token, spender, pay_to, facilitator = (checksum_address(a) for a in addresses)
    return Authorisation(
        chain_id=chain_id,
        payer=payer,
        token=token,
        cap=cap,
        spender=spender,
        nonce=nonce,
        deadline=deadline,
        pay_to=pay_to,
        facilitator=facilitator,
        valid_after=valid_after,
    )


def checksum_address(address: str) -> str:
    """An address of 20 bytes in EIP-55 case; ValueError if it is none."""
    if not _ADDRESS.fullmatch(address):
        raise ValueError("an address is 0x and 40 hex digits")
    from opg_magic.protocol.keccak import keccak256

    digits = address[2:].lower()
    digest = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        c.upper() if int(h, 16) >= 8 else c for c, h in zip(digits, digest, strict=False)
    )


def _equal(name: str, offered: object, ours: str) -> None:
    if offered != ours:
        raise PaymentRefused(
            f"the host asks for {name} {_shown(offered)}; this network allows {ours}"
        )


def _address(name: str, value: object) -> str:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise PaymentRefused(f"the host's {name} {_shown(value)} is not an address of 20 bytes")
    return value


def _amount(value: object) -> int:
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value) or not 0 < int(value) < _UINT256:
        raise PaymentRefused(
            f"the host's cap {_shown(value)} is not a decimal number of base units above 0"
        )
    return int(value)


def _units(amount: int, network: Network) -> str:
    return f"{format_units(amount, network.token.decimals)} {network.token.symbol}"


def _shown(value: object) -> str:
    """A host's value in a message: short, and as a Python literal, so that control characters stay
    inert."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
