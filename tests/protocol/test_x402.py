"""x402 messages: byte shape, terms checked before anything is signed (attack 21), EIP-712."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from opg_magic.errors import MalformedMessage, PaymentRefused
from opg_magic.models import Authorisation, Host, PaymentTerms
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.network.profiles import OPENGRADIENT, OPG_ADDRESS, PERMIT2, UPTO_PROXY
from opg_magic.protocol import addresses, payment_terms, x402

KEY = b"\x17" * 32
PAYER = Account.from_key(KEY).address
FACILITATOR = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PAYEE = "0x9deEBB5D1b22e4a6e027977CeAd13893A7E4cC1a"
OTHER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
NETWORK = replace(OPENGRADIENT, facilitators=(FACILITATOR,))
NOW = 1_795_212_678


def host(payment_address: str = PAYEE) -> Host:
    return Host(
        tee_id="0x" + "ab" * 32,
        owner=OTHER,
        payment_address=payment_address,
        endpoint="https://host.example",
        public_key=b"",
        tls_certificate=b"",
        pcr_hash="0x" + "00" * 32,
        tee_type=0,
        enabled=True,
        registered_at=0,
        last_heartbeat_at=0,
    )


def offer(**changes: Any) -> dict[str, Any]:
    extra = {
        "name": "OpenGradient",
        "version": "1",
        "assetTransferMethod": "permit2",
        "facilitatorAddress": FACILITATOR,
    }
    extra.update(changes.pop("extra", {}))
    return {
        "scheme": "upto",
        "network": "eip155:8453",
        "asset": OPG_ADDRESS,
        "amount": "100000000000000000",
        "payTo": PAYEE,
        "maxTimeoutSeconds": 300,
        "extra": extra,
        **changes,
    }


def required(*offers: Mapping[str, Any], **more: Any) -> str:
    message = {
        "x402Version": 2,
        "error": "Payment required",
        "resource": {
            "url": "https://host.example/v1/chat/completions",
            "description": "",
            "mimeType": "x",
        },
        "accepts": list(offers),
        **more,
    }
    return base64.b64encode(json.dumps(message).encode()).decode()


def choose(*offers: Mapping[str, Any], network: Network = NETWORK, **options: Any) -> PaymentTerms:
    terms, _ = payment_terms.choose_terms(
        x402.parse_payment_required(required(*offers)), network, host(), **options
    )
    return terms


def authorised(terms: PaymentTerms | None = None) -> Authorisation:
    return x402.authorise(terms or choose(offer()), NETWORK, PAYER, now=NOW, nonce=2**255 + 7)


# ---------------------------------------------------------------------------------------- attack 21


def refused(changed: Mapping[str, Any], theirs: str, ours: str, **options: Any) -> None:
    """The offer is refused with both figures, and so there are no terms that could be signed."""
    with pytest.raises(PaymentRefused) as error:
        choose(changed, **options)
    assert theirs in error.value.message
    assert ours in error.value.message


def test_attack_21_another_network_is_refused() -> None:
    refused(offer(network="eip155:1"), "eip155:1'", "eip155:8453")


def test_attack_21_another_asset_is_refused() -> None:
    usdc = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
    refused(offer(asset=usdc), usdc, OPG_ADDRESS)


def test_attack_21_another_payee_is_refused() -> None:
    refused(offer(payTo=OTHER), OTHER, PAYEE)


def test_attack_21_another_facilitator_is_refused() -> None:
    refused(offer(extra={"facilitatorAddress": OTHER}), OTHER, FACILITATOR)


def test_attack_21_without_a_pinned_facilitator_nothing_can_be_paid() -> None:
    refused(offer(), FACILITATOR, "pin one", network=OPENGRADIENT)


@pytest.mark.parametrize("key", ["spender", "spenderAddress", "proxy", "proxyAddress"])
def test_attack_21_another_spender_is_refused(key: str) -> None:
    refused(offer(extra={key: OTHER}), OTHER, UPTO_PROXY)


@pytest.mark.parametrize("key", ["permit2", "permit2Address", "verifyingContract"])
def test_attack_21_another_permit2_is_refused(key: str) -> None:
    refused(offer(extra={key: OTHER}), OTHER, PERMIT2)


def test_attack_21_the_spender_signed_is_the_networks_own_proxy() -> None:
    terms = choose(offer(extra={"spender": UPTO_PROXY.lower()}))
    assert x402.typed_data(authorised(terms), NETWORK)["message"]["spender"] == UPTO_PROXY


def test_attack_21_another_scheme_is_refused() -> None:
    refused(offer(scheme="exact"), "exact", "upto")


def test_attack_21_another_transfer_method_is_refused() -> None:
    refused(offer(extra={"assetTransferMethod": "eip3009"}), "eip3009", "permit2")


@pytest.mark.parametrize(
    "cap", ["50000000000000000", "100000000000000000", "1000000000000000000", "5000000000000000000"]
)
@pytest.mark.parametrize("seconds", [300, 600, 900, 3600, 10**30])
def test_attack_21_every_cap_and_deadline_seen_is_read_and_a_long_deadline_is_cut(
    cap: str, seconds: int
) -> None:
    auth = authorised(choose(offer(amount=cap, maxTimeoutSeconds=seconds)))
    assert (auth.cap, auth.deadline) == (int(cap), NOW + min(seconds, 600))


def test_the_deadline_that_is_signed_is_the_shorter_of_offer_and_setting() -> None:
    terms = choose(offer(maxTimeoutSeconds=3600))
    for most, signed in ((300, 300), (3600, 3600), (7200, 3600)):
        auth = x402.authorise(terms, NETWORK, PAYER, now=NOW, nonce=1, max_seconds=most)
        assert auth.deadline == NOW + signed


def test_a_deadline_too_short_to_be_of_use_is_refused() -> None:
    refused(offer(maxTimeoutSeconds=179), "179 s", "180 s", min_seconds=180)
    assert choose(offer(maxTimeoutSeconds=180), min_seconds=180).max_timeout_seconds == 180


def test_of_two_offers_with_one_cap_the_longer_deadline_is_taken() -> None:
    assert (
        choose(offer(maxTimeoutSeconds=200), offer(maxTimeoutSeconds=900)).max_timeout_seconds
        == 900
    )


def test_attack_21_of_several_offers_the_allowed_one_is_chosen() -> None:
    terms = choose(
        offer(network="eip155:1"), offer(payTo=OTHER), offer(amount="7"), offer(scheme="exact")
    )
    assert terms.amount == 7
    assert terms.pay_to == PAYEE


def test_attack_21_of_several_allowed_offers_the_lowest_cap_is_chosen() -> None:
    assert choose(offer(amount="9"), offer(amount="8"), offer(amount="9")).amount == 8


def test_attack_21_of_several_offers_none_allowed_all_reasons_are_named() -> None:
    with pytest.raises(PaymentRefused) as error:
        choose(offer(network="eip155:1"), offer(payTo=OTHER))
    assert "eip155:1" in error.value.message
    assert OTHER in error.value.message


def test_attack_21_extensions_are_never_signed_nor_sent_back() -> None:
    extensions = {"erc20ApprovalGasSponsoring": {"info": {"evil": OTHER}}}
    parsed = x402.parse_payment_required(required(offer(), extensions=extensions))
    terms, _ = payment_terms.choose_terms(parsed, NETWORK, host())
    auth = authorised(terms)
    header = json.loads(base64.b64decode(x402.payment_header(auth, Secret("0x00"), terms).reveal()))
    assert list(header) == ["x402Version", "payload", "accepted", "resource"]
    assert OTHER not in json.dumps([header, x402.typed_data(auth, NETWORK)])


@pytest.mark.parametrize(
    "amount", ["0", "-1", "1.0", "1e17", "0x10", "01", " 1", "", 100, 1.0, True, None, "1" * 79]
)
def test_attack_21_a_cap_that_is_no_decimal_string_is_refused(amount: object) -> None:
    with pytest.raises(PaymentRefused):
        choose(offer(amount=amount))


@pytest.mark.parametrize("seconds", [0, -1, True, "300", 300.0, None])
def test_attack_21_a_deadline_that_is_no_positive_integer_is_refused(seconds: object) -> None:
    with pytest.raises(PaymentRefused):
        choose(offer(maxTimeoutSeconds=seconds))


@pytest.mark.parametrize("field", ["asset", "payTo"])
@pytest.mark.parametrize("value", ["", "0x", "0x" + "g" * 40, OTHER + "00", None, 7, ["0x"]])
def test_attack_21_an_address_that_is_none_is_refused(field: str, value: object) -> None:
    with pytest.raises(PaymentRefused):
        choose(offer(**{field: value}))


@pytest.mark.parametrize("extra", [None, [], "permit2", 1])
def test_attack_21_an_extra_that_is_no_object_is_refused(extra: object) -> None:
    broken = offer()
    broken["extra"] = extra
    with pytest.raises(PaymentRefused):
        choose(broken)


@pytest.mark.parametrize(
    "change",
    [
        {"network": "eip155:1"},
        {"asset": OTHER},
        {"amount": 2**256},
        {"max_timeout_seconds": 0},
        {"amount": 0},
    ],
)
def test_attack_21_terms_that_were_altered_after_the_choice_are_not_authorised(
    change: dict[str, Any],
) -> None:
    with pytest.raises(PaymentRefused):
        authorised(replace(choose(offer()), **change))


# ------------------------------------------------------------------------------------------ allowed


def test_a_pinned_payee_is_allowed_and_said_to_differ() -> None:
    parsed = x402.parse_payment_required(required(offer(payTo=OTHER)))
    terms, notes = payment_terms.choose_terms(
        parsed, NETWORK, host(), pinned_payees=[OTHER.lower()]
    )
    assert terms.pay_to == OTHER
    assert any(OTHER in note and PAYEE in note for note in notes)


def test_a_payee_of_the_network_profile_is_allowed() -> None:
    assert choose(offer(payTo=OTHER), network=replace(NETWORK, payees=(OTHER,))).pay_to == OTHER


def test_a_pinned_facilitator_is_allowed() -> None:
    terms = choose(offer(extra={"facilitatorAddress": OTHER}), pinned_facilitators=[OTHER])
    assert terms.facilitator == OTHER


def test_another_resource_than_asked_is_said() -> None:
    parsed = x402.parse_payment_required(required(offer()))
    _, same = payment_terms.choose_terms(
        parsed, NETWORK, host(), resource_url="https://host.example/v1/chat/completions"
    )
    _, other = payment_terms.choose_terms(
        parsed, NETWORK, host(), resource_url="https://host.example/v1/completions"
    )
    assert same == ()
    assert "v1/completions" in other[0]


def test_a_hosts_control_characters_do_not_reach_a_message() -> None:
    with pytest.raises(PaymentRefused) as error:
        choose(offer(network="eip155:1\x1b[2J\u202e"))
    assert "\x1b" not in str(error.value)
    assert "\u202e" not in str(error.value)


# ------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    "header",
    [
        "",
        "not base64!",
        base64.b64encode(b"not json").decode(),
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b'{"x402Version":2,"accepts":[{}],"accepts":[{}]}').decode(),
        base64.b64encode(b'{"x402Version":2,"accepts":[]}').decode(),
        base64.b64encode(b'{"x402Version":2,"accepts":[1]}').decode(),
        base64.b64encode(b'{"x402Version":1,"accepts":[{}]}').decode(),
        base64.b64encode(b'{"x402Version":true,"accepts":[{}]}').decode(),
        base64.b64encode(b'{"x402Version":2,"accepts":[{}],"resource":3}').decode(),
        base64.b64encode(b'{"x402Version":2,"accepts":[{}],"error":{}}').decode(),
        base64.b64encode(b'{"x402Version":2,"accepts":[{"amount":NaN}]}').decode(),
        base64.b64encode(
            b'{"x402Version":2,"accepts":[' + b",".join([b"{}"] * 17) + b"]}"
        ).decode(),
        base64.b64encode(b'{"x402Version":2,"accepts":[{}]' + b" " * 60_000 + b"}").decode(),
    ],
)
def test_a_malformed_header_is_refused(header: str) -> None:
    with pytest.raises(MalformedMessage):
        x402.parse_payment_required(header)


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_no_bytes_crash_the_reader(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        x402.parse_payment_required(base64.b64encode(raw).decode())


@given(
    st.dictionaries(
        st.sampled_from(list(offer())),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=8), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        min_size=1,
    )
)
@settings(max_examples=200)
def test_no_offer_crashes_the_choice(changes: dict[str, Any]) -> None:
    changed = {**offer(), **changes}
    parsed = x402.PaymentRequired((changed,), {}, None)
    try:
        terms, _ = payment_terms.choose_terms(parsed, NETWORK, host())
    except PaymentRefused:
        return
    assert terms.pay_to == PAYEE


# ------------------------------------------------------------------------------------------ signing


def sign(auth: Authorisation) -> Secret[str]:
    message = encode_typed_data(full_message=x402.typed_data(auth, NETWORK))
    return Secret("0x" + Account.sign_message(message, KEY).signature.hex())


def recover(auth: Authorisation, signature: str) -> str:
    message = encode_typed_data(full_message=x402.typed_data(auth, NETWORK))
    return str(
        Account.recover_message(message, signature=bytes.fromhex(signature.removeprefix("0x")))
    )


def test_the_signature_over_the_typed_data_recovers_to_the_payer() -> None:
    auth = authorised()
    assert recover(auth, sign(auth).reveal()) == auth.payer == PAYER


@pytest.mark.parametrize(
    "change",
    [
        {"cap": 1},
        {"nonce": 1},
        {"deadline": NOW},
        {"pay_to": OTHER},
        {"facilitator": OTHER},
        {"valid_after": 0},
        {"spender": OTHER},
        {"token": OTHER},
    ],
)
def test_every_field_of_an_authorisation_is_covered_by_its_signature(
    change: dict[str, Any],
) -> None:
    auth = authorised()
    assert recover(replace(auth, **change), sign(auth).reveal()) != PAYER


def test_an_authorisation_lasts_as_long_as_the_offer_and_names_the_cap_offered() -> None:
    auth = authorised(choose(offer(amount="5", maxTimeoutSeconds=60)))
    assert (auth.cap, auth.deadline, auth.valid_after) == (5, NOW + 60, NOW - 600)


@pytest.mark.parametrize("nonce", [-1, 2**256])
def test_a_nonce_beyond_256_bits_is_an_error(nonce: int) -> None:
    with pytest.raises(ValueError):
        x402.authorise(choose(offer()), NETWORK, PAYER, now=NOW, nonce=nonce)


def test_an_authorisation_for_another_chain_gives_no_typed_data() -> None:
    with pytest.raises(PaymentRefused, match=r"chain 1;.*chain 8453"):
        x402.typed_data(replace(authorised(), chain_id=1), NETWORK)


def test_attack_28_the_payment_header_is_a_secret() -> None:
    auth = authorised()
    signature = sign(auth)
    header = x402.payment_header(auth, signature, choose(offer()))
    assert isinstance(header, Secret)
    assert header.reveal() not in repr(header)
    assert signature.reveal() not in json.dumps(x402.public_authorisation(auth))
    assert "signature" not in json.dumps(x402.public_authorisation(auth))


def test_a_public_authorisation_reads_back_as_it_was() -> None:
    auth = authorised()
    assert (
        x402.read_public_authorisation(json.loads(json.dumps(x402.public_authorisation(auth))))
        == auth
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("nonce"),
        lambda d: d.update(network="solana:1"),
        lambda d: d.update(nonce=7),
        lambda d: d.update(deadline="-7"),
        lambda d: d.update(permitted=None),
        lambda d: d.update(spender="0x12"),
        lambda d: d["witness"].pop("to"),
    ],
)
def test_a_damaged_public_authorisation_is_refused(
    damage: Callable[[dict[str, Any]], object],
) -> None:
    data = x402.public_authorisation(authorised())
    damage(data)
    with pytest.raises(MalformedMessage):
        x402.read_public_authorisation(data)


@pytest.mark.parametrize("address", [OPG_ADDRESS, PERMIT2, UPTO_PROXY, FACILITATOR, PAYEE, OTHER])
def test_addresses_are_cased_by_eip_55(address: str) -> None:
    assert addresses.checksum_address(address.lower()) == address


# --------------------------------------------------------------------------------------- recordings

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "gateway"


def recorded(header: str) -> list[dict[str, Any]]:
    found = []
    for file in sorted(RECORDINGS.glob("*.json")):
        for exchange in json.loads(file.read_text())["exchanges"]:
            # One exchange was recorded with a header that is no base64, on purpose.
            if isinstance(exchange.get("decoded_payment_headers", {}).get(header), dict):
                found.append(exchange)
    return found


needs_recordings = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="the foreign recordings are not here"
)


def as_authorisation(message: Mapping[str, Any]) -> Authorisation:
    return x402.read_public_authorisation(
        {"network": message["accepted"]["network"], **message["payload"]["permit2Authorization"]}
    )


@needs_recordings
def test_recorded_payment_headers_have_our_byte_shape() -> None:
    exchanges = recorded("PAYMENT-SIGNATURE")
    assert len(exchanges) >= 4
    for exchange in exchanges:
        message = exchange["decoded_payment_headers"]["PAYMENT-SIGNATURE"]
        auth = as_authorisation(message)
        accepted = message["accepted"]
        terms = PaymentTerms(
            scheme="upto",
            network=accepted["network"],
            asset=accepted["asset"],
            amount=int(accepted["amount"]),
            pay_to=accepted["payTo"],
            max_timeout_seconds=accepted["maxTimeoutSeconds"],
            facilitator=accepted["extra"]["facilitatorAddress"],
            accepted=accepted,
            resource=message["resource"],
        )
        ours = base64.b64decode(
            x402.payment_header(auth, Secret(message["payload"]["signature"]), terms).reveal()
        )
        theirs = {key: value for key, value in message.items() if key != "extensions"}
        assert ours.decode() == json.dumps(theirs, separators=(",", ":"))


@needs_recordings
def test_recorded_signatures_recover_to_their_payer() -> None:
    recovered = 0
    for exchange in recorded("PAYMENT-SIGNATURE"):
        message = exchange["decoded_payment_headers"]["PAYMENT-SIGNATURE"]
        auth = as_authorisation(message)
        if auth.cap != int(message["accepted"]["amount"]):
            continue  # recorded on purpose: an altered amount, which the host refused
        if exchange["response"]["status"] == 402:
            continue
        assert recover(auth, message["payload"]["signature"]) == auth.payer
        recovered += 1
    assert recovered >= 2


@needs_recordings
def test_a_recorded_402_is_read_and_allowed_as_the_recorded_client_accepted_it() -> None:
    for exchange in recorded("PAYMENT-REQUIRED"):
        header = next(v for n, v in exchange["response"]["headers"] if n == "PAYMENT-REQUIRED")
        parsed = x402.parse_payment_required(header)
        assert parsed.error
        url = exchange["request"]["url"]
        terms, notes = payment_terms.choose_terms(parsed, NETWORK, host(), resource_url=url)
        assert (terms.amount, terms.pay_to, terms.facilitator) == (10**17, PAYEE, FACILITATOR)
        assert notes == ()
