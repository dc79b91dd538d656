"""x402 v2 messages of the scheme ``upto`` over Permit2: reads a 402 and shapes an authorisation.

Source: the x402 specification, version 2; EIP-712; Permit2's ``permitWitnessTransferFrom``.  Pure:
nothing here signs, sends, looks at a clock or draws a random number.  Which terms may be signed is
decided in :mod:`opg_magic.protocol.payment_terms`."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opg_magic.errors import MalformedMessage, PaymentRefused
from opg_magic.models import Authorisation, PaymentTerms, format_units
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.protocol.addresses import ADDRESS, checksum_address

X402_VERSION = 2
SCHEME = "upto"

#: ``validAfter`` is this many seconds before signing, so that a chain whose clock is behind accepts
#: it.
VALID_AFTER_MARGIN = 600

#: The longest time, in seconds, for which an offer is signed unless the caller says otherwise.
MAX_SECONDS = 600

#: Bounds on what a 402 may carry: the recorded ones are 1.9 kB of base64 with one offer.
MAX_HEADER_CHARS = 64 * 1024
MAX_OFFERS = 16
MAX_TEXT_CHARS = 2048

#: Amounts and nonces are below this.
UINT256 = 2**256
#: A number of 256 bits as the wire writes it.
DECIMAL = re.compile(r"0|[1-9][0-9]{0,77}")
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

    Its ``extensions`` are not kept: nothing in them is ever signed or sent back.
    """

    accepts: tuple[Mapping[str, Any], ...]
    resource: Mapping[str, Any]
    error: str | None


def parse_payment_required(header: str) -> PaymentRequired:
    """Return what the header ``PAYMENT-REQUIRED`` (base64 JSON) says.

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


def authorise(
    terms: PaymentTerms,
    network: Network,
    payer: str,
    *,
    now: int,
    nonce: int,
    max_seconds: int = MAX_SECONDS,
) -> Authorisation:
    """Return the authorisation to sign for ``terms``: who may take how much, until when.

    ``now``: Unix seconds.  ``nonce``: 256 random bits.  The deadline is ``now`` plus the offered
    time or ``max_seconds``, whichever is shorter: hosts accept a shorter one.  The cap equals the
    offer: hosts refuse any other.  The spender is always the network's own proxy.

    Raises :class:`PaymentRefused` if the terms do not belong to this network."""
    if not 0 <= nonce < UINT256:
        raise ValueError("a Permit2 nonce is an unsigned number of 256 bits")
    if now <= VALID_AFTER_MARGIN:
        raise ValueError("now is Unix time in seconds")
    if (
        terms.network != f"eip155:{network.payment_chain_id}"
        or terms.asset.lower() != network.token.address.lower()
    ):
        raise PaymentRefused(
            f"the terms are for {terms.network} and asset {terms.asset}; this network is "
            f"eip155:{network.payment_chain_id} and {network.token.address}"
        )
    seconds = min(terms.max_timeout_seconds, max_seconds)
    if not 0 < terms.amount < UINT256 or seconds <= 0:
        raise PaymentRefused(
            f"the terms are {_units(terms.amount, network)} for {seconds} s; neither may be 0"
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
    """Return the whole EIP-712 message of an authorisation (types, primary type, domain, message),
    with numbers as ints.  Raises :class:`PaymentRefused` if it is for another chain."""
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
    """Return the wire's ``permit2Authorization``: addresses in EIP-55 case, numbers as decimal
    strings."""
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
    """Return the value of the header ``PAYMENT-SIGNATURE``: a spending secret.  It holds none of
    the 402's ``extensions``."""
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
    """Return what a receipt keeps of an authorisation: everything but its signature, in the wire's
    own shape."""
    return {"network": f"eip155:{auth.chain_id}", **permit2_authorization(auth)}


def read_public_authorisation(data: Mapping[str, Any]) -> Authorisation:
    """Return the authorisation that :func:`public_authorisation` wrote.  Raises
    :class:`MalformedMessage` if the shape is another."""
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
            isinstance(n, str) and DECIMAL.fullmatch(n) for n in numbers
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
    if not all(isinstance(a, str) and ADDRESS.fullmatch(a) for a in addresses):
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


def _units(amount: int, network: Network) -> str:
    return f"{format_units(amount, network.token.decimals)} {network.token.symbol}"
