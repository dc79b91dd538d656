"""The contracts of the simulated network: what they allow and refuse, and that they are built from
their sources.

Payments are signed here by the published types of Permit2 and x402, with eth-account alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from eth_account import Account
from eth_utils import keccak

from opg_magic.models.secret import Secret
from opg_magic.network.profiles import OPG_ADDRESS, PERMIT2, REGISTRY_ADDRESS, UPTO_PROXY
from opg_magic.simnet.chain.chain import Chain
from opg_magic.simnet.chain.errors import Reverted
from opg_magic.simnet.contracts import deploy
from opg_magic.simnet.contracts.deploy import Contract, RegistryAdmin
from opg_magic.simnet.host.nitro import Authority

CONTRACTS = Path(deploy.__file__).parent
STUB = Path(__file__).parents[1] / "support" / "contracts" / "VerifierStub.json"
CLIENT_ABI = CONTRACTS.parents[1] / "network" / "abi.json"

ADMIN = Secret(b"\x11" * 32)
PAYER = Secret(b"\x12" * 32)
FACILITATOR = Secret(b"\x13" * 32)
STRANGER = Secret(b"\x14" * 32)
PAYEE = Account.from_key(b"\x15" * 32).address
GRANT = 10**20
CAP = 10**17


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


# ----------------------------------------------------------------------------------------- payments


@pytest.fixture
def chain(clock: Clock) -> Chain:
    made = Chain(8453, now=clock)
    deploy.deploy_payment_chain(
        made,
        admin_key=ADMIN,
        payer_key=PAYER,
        payer_grant=GRANT,
        facilitator=deploy.address_of(FACILITATOR),
    )
    made.fund(deploy.address_of(STRANGER), 10**20)
    return made


class Payment:
    """What a client signs for an ``upto`` payment, and the proxy's arguments for it."""

    def __init__(self, chain: Chain, **changes: Any) -> None:
        now = chain.time
        self.fields: dict[str, Any] = {
            "token": OPG_ADDRESS,
            "cap": CAP,
            "spender": UPTO_PROXY,
            "nonce": 0xABCDEF << 200 | 0x1234,
            "deadline": now + 300,
            "to": PAYEE,
            "facilitator": deploy.address_of(FACILITATOR),
            "validAfter": now - 600,
            "chainId": 8453,
            "name": "Permit2",
            "verifyingContract": PERMIT2,
        } | changes

    def sign(self, key: Secret[bytes] = PAYER) -> bytes:
        f = self.fields
        message = {
            "domain": {k: f[k] for k in ("name", "chainId", "verifyingContract")},
            "primaryType": "PermitWitnessTransferFrom",
            "types": {
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
            },
            "message": {
                "permitted": {"token": f["token"], "amount": f["cap"]},
                "spender": f["spender"],
                "nonce": f["nonce"],
                "deadline": f["deadline"],
                "witness": {
                    "to": f["to"],
                    "facilitator": f["facilitator"],
                    "validAfter": f["validAfter"],
                },
            },
        }
        return bytes(Account.sign_typed_data(key.reveal(), full_message=message).signature)

    def arguments(self, amount: int, signature: bytes, **shown: Any) -> tuple[Any, ...]:
        """``shown`` replaces fields after signing: what a cheating facilitator would submit."""
        f = self.fields | shown
        permit = ((f["token"], f["cap"]), f["nonce"], f["deadline"])
        witness = (f["to"], f["facilitator"], f["validAfter"])
        return permit, amount, deploy.address_of(PAYER), witness, signature


def refused(contract: Contract, key: Secret[bytes], function: str, *arguments: Any) -> str:
    with pytest.raises(Reverted) as error:
        contract.send(key, function, *arguments)
    assert error.value.reason is not None
    return error.value.reason


def balance(chain: Chain, account: str) -> int:
    return int(deploy.opg(chain).read("balanceOf", account))


def test_every_contract_stands_at_its_address(chain: Chain) -> None:
    for address in (OPG_ADDRESS, PERMIT2, UPTO_PROXY):
        assert len(chain.w3.eth.get_code(address)) > 1000
    payer = deploy.address_of(PAYER)
    token = deploy.opg(chain)
    assert token.read("balanceOf", payer) == token.read("totalSupply") == GRANT
    assert token.read("allowance", payer, PERMIT2) == 2**256 - 1
    assert (token.read("decimals"), token.read("symbol")) == (18, "OPG")
    assert deploy.upto_proxy(chain).read("PERMIT2") == PERMIT2.lower()


def test_a_signed_payment_settles_for_what_was_used(chain: Chain) -> None:
    payment = Payment(chain)
    receipt = deploy.upto_proxy(chain).send(
        FACILITATOR, "settle", *payment.arguments(CAP // 4, payment.sign())
    )
    assert receipt["status"] == 1
    assert balance(chain, PAYEE) == CAP // 4
    assert balance(chain, deploy.address_of(PAYER)) == GRANT - CAP // 4
    transfer, settled = receipt["logs"]
    assert transfer["address"] == OPG_ADDRESS
    assert transfer["topics"][0] == keccak(text="Transfer(address,address,uint256)")
    assert [t.hex()[-40:] for t in transfer["topics"][1:]] == [
        deploy.address_of(PAYER)[2:].lower(),
        PAYEE[2:].lower(),
    ]
    assert int.from_bytes(transfer["data"], "big") == CAP // 4
    assert (settled["address"], settled["topics"]) == (UPTO_PROXY, [keccak(text="Settled()")])
    assert settled["data"] == b""


def test_the_whole_cap_may_be_settled_and_the_nonce_is_then_spent(chain: Chain) -> None:
    payment = Payment(chain)
    nonce, payer = payment.fields["nonce"], deploy.address_of(PAYER)
    permit2 = deploy.permit2(chain)
    before = chain.block_number
    assert permit2.read("nonceBitmap", payer, nonce >> 8) == 0
    deploy.upto_proxy(chain).send(FACILITATOR, "settle", *payment.arguments(CAP, payment.sign()))
    assert permit2.read("nonceBitmap", payer, nonce >> 8) == 1 << (nonce & 0xFF)
    assert permit2.read("nonceBitmap", payer, nonce >> 8, block=before) == 0


def test_a_nonce_pays_once(chain: Chain) -> None:
    payment = Payment(chain)
    arguments = payment.arguments(1, payment.sign())
    proxy = deploy.upto_proxy(chain)
    proxy.send(FACILITATOR, "settle", *arguments)
    assert refused(proxy, FACILITATOR, "settle", *arguments) == "InvalidNonce"
    # A neighbour in the same word is another nonce.
    other = Payment(chain, nonce=payment.fields["nonce"] ^ 1)
    proxy.send(FACILITATOR, "settle", *other.arguments(1, other.sign()))


def test_a_nonce_that_its_owner_withdrew_pays_nothing(chain: Chain) -> None:
    payment = Payment(chain)
    nonce = payment.fields["nonce"]
    deploy.permit2(chain).send(PAYER, "invalidateUnorderedNonces", nonce >> 8, 1 << (nonce & 0xFF))
    arguments = payment.arguments(1, payment.sign())
    assert refused(deploy.upto_proxy(chain), FACILITATOR, "settle", *arguments) == "InvalidNonce"


def test_more_than_the_cap_is_refused(chain: Chain) -> None:
    payment = Payment(chain)
    arguments = payment.arguments(CAP + 1, payment.sign())
    assert (
        refused(deploy.upto_proxy(chain), FACILITATOR, "settle", *arguments)
        == "AmountExceedsPermitted"
    )


def test_only_the_named_facilitator_settles(chain: Chain) -> None:
    payment = Payment(chain)
    arguments = payment.arguments(1, payment.sign())
    assert (
        refused(deploy.upto_proxy(chain), STRANGER, "settle", *arguments)
        == "UnauthorizedFacilitator"
    )
    # Nor by naming oneself: the witness is signed.
    arguments = payment.arguments(1, payment.sign(), facilitator=deploy.address_of(STRANGER))
    assert refused(deploy.upto_proxy(chain), STRANGER, "settle", *arguments) == "InvalidSigner"


def test_the_deadline_is_inclusive_and_final(chain: Chain, clock: Clock) -> None:
    late, in_time = Payment(chain, nonce=1), Payment(chain, nonce=2)
    clock.now = in_time.fields["deadline"]
    proxy = deploy.upto_proxy(chain)
    proxy.send(FACILITATOR, "settle", *in_time.arguments(1, in_time.sign()))
    clock.now += 1
    # The block clock lets the newest block lag; a transaction is executed in a block of now.
    receipt = proxy.send(FACILITATOR, "settle", *late.arguments(1, late.sign()), gas=300_000)
    assert receipt["status"] == 0
    clock.now += 10
    assert (
        refused(proxy, FACILITATOR, "settle", *late.arguments(1, late.sign())) == "SignatureExpired"
    )
    assert chain.time > late.fields["deadline"]
    assert deploy.permit2(chain).read("nonceBitmap", deploy.address_of(PAYER), 0) == 1 << 2


def test_not_before_valid_after(chain: Chain, clock: Clock) -> None:
    payment = Payment(chain, validAfter=chain.time + 60)
    arguments = payment.arguments(1, payment.sign())
    proxy = deploy.upto_proxy(chain)
    assert refused(proxy, FACILITATOR, "settle", *arguments) == "PaymentTooEarly"
    clock.now += 61
    assert proxy.send(FACILITATOR, "settle", *arguments)["status"] == 1


@pytest.mark.parametrize(
    "shown",
    [
        {"to": "0x" + "99" * 20},
        {"cap": CAP * 2},
        {"nonce": 5},
        {"deadline": 2**40},
        {"validAfter": 0},
        {"token": "0x" + "98" * 20},
    ],
    ids=lambda shown: next(iter(shown)),
)
def test_nothing_signed_can_be_changed_by_the_facilitator(
    chain: Chain, shown: dict[str, Any]
) -> None:
    payment = Payment(chain)
    arguments = payment.arguments(1, payment.sign(), **shown)
    assert refused(deploy.upto_proxy(chain), FACILITATOR, "settle", *arguments) == "InvalidSigner"
    assert balance(chain, deploy.address_of(PAYER)) == GRANT


@pytest.mark.parametrize(
    "changes",
    [
        {"chainId": 1},
        {"name": "Permit3"},
        {"verifyingContract": UPTO_PROXY},
        {"spender": PERMIT2},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_signature_for_elsewhere_does_not_pay_here(chain: Chain, changes: dict[str, Any]) -> None:
    payment = Payment(chain, **changes)
    arguments = payment.arguments(1, payment.sign())
    assert refused(deploy.upto_proxy(chain), FACILITATOR, "settle", *arguments) == "InvalidSigner"


def test_a_foreign_or_malformed_signature_is_refused(chain: Chain) -> None:
    payment, proxy = Payment(chain), deploy.upto_proxy(chain)
    good = payment.sign()
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    twin = (
        good[:32]
        + (order - int.from_bytes(good[32:64], "big")).to_bytes(32, "big")
        + bytes([good[64] ^ 7])
    )
    for signature, reason in [
        (payment.sign(STRANGER), "InvalidSigner"),
        (good[:64], "InvalidSignatureLength"),
        (good + b"\0", "InvalidSignatureLength"),
        (good[:64] + b"\x01", "InvalidSignature"),
        (bytes(65), "InvalidSignature"),
        (twin, "InvalidSignature"),
    ]:
        assert refused(proxy, FACILITATOR, "settle", *payment.arguments(1, signature)) == reason


def test_without_balance_or_allowance_nothing_is_spent(chain: Chain) -> None:
    payment, proxy, token = Payment(chain), deploy.upto_proxy(chain), deploy.opg(chain)
    arguments = payment.arguments(CAP, payment.sign())
    token.send(PAYER, "approve", PERMIT2, CAP - 1)
    assert refused(proxy, FACILITATOR, "settle", *arguments) == "TransferFailed"
    token.send(PAYER, "approve", PERMIT2, CAP)
    token.send(PAYER, "transfer", PAYEE, GRANT - 1)
    assert refused(proxy, FACILITATOR, "settle", *arguments) == "TransferFailed"
    assert (
        deploy.permit2(chain).read(
            "nonceBitmap", deploy.address_of(PAYER), payment.fields["nonce"] >> 8
        )
        == 0
    )


def test_a_limited_allowance_is_counted_down(chain: Chain) -> None:
    payment, token = Payment(chain), deploy.opg(chain)
    token.send(PAYER, "approve", PERMIT2, CAP)
    deploy.upto_proxy(chain).send(FACILITATOR, "settle", *payment.arguments(3, payment.sign()))
    assert token.read("allowance", deploy.address_of(PAYER), PERMIT2) == CAP - 3


def test_permit2_itself_holds_spenders_to_the_signed_amount(chain: Chain) -> None:
    """The cap does not hang on the proxy alone: an own account as spender meets it too."""
    spender = deploy.address_of(STRANGER)
    payment = Payment(chain, spender=spender)
    (permit, _, owner, (to, facilitator, after), signature) = payment.arguments(0, payment.sign())
    type_text = (
        "Witness witness)TokenPermissions(address token,uint256 amount)"
        "Witness(address to,address facilitator,uint256 validAfter)"
    )
    type_hash = keccak(text="Witness(address to,address facilitator,uint256 validAfter)")
    words = [int(to, 16), int(facilitator, 16), after]
    witness = keccak(type_hash + b"".join(w.to_bytes(32, "big") for w in words))
    permit2 = deploy.permit2(chain)

    def ask(amount: int) -> tuple[Any, ...]:
        return permit, (PAYEE, amount), owner, witness, type_text, signature

    assert refused(permit2, STRANGER, "permitWitnessTransferFrom", *ask(CAP + 1)) == "InvalidAmount"
    assert refused(permit2, FACILITATOR, "permitWitnessTransferFrom", *ask(CAP)) == "InvalidSigner"
    permit2.send(STRANGER, "permitWitnessTransferFrom", *ask(CAP))
    assert balance(chain, PAYEE) == CAP


def test_only_the_admin_mints_and_the_admin_is_set_once(chain: Chain) -> None:
    token = deploy.opg(chain)
    assert refused(token, STRANGER, "mint", PAYEE, 1) == "NotAdmin"
    assert (
        refused(token, STRANGER, "initialize", deploy.address_of(STRANGER)) == "AlreadyInitialized"
    )


# ----------------------------------------------------------------------------------------- registry

PCRS = {0: b"\x01" * 48, 1: b"\x02" * 48, 2: b"\x03" * 48}
PCR_HASH = keccak(b"".join(PCRS[i] for i in range(3)))


class Enclave:
    """Keys and certificate of one simulated host."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.public_key = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        tls = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(
                name, name, tls.public_key(), 1, now - timedelta(1), now + timedelta(1)
            )
        ).sign(tls, hashes.SHA256())
        self.certificate = certificate.public_bytes(serialization.Encoding.DER)

    def document(self, authority: Authority, clock: Clock, **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "pcrs": PCRS,
            "timestamp_ms": int(clock.now * 1000),
            "signing_key_der": self.public_key,
            "tls_certificate_der": self.certificate,
        }
        return authority.document(**(fields | changes))

    def sign(self, digest: bytes) -> bytes:
        return self.key.sign(
            digest, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
        )


@cache
def authority() -> Authority:
    return Authority.create()


@cache
def enclave(number: int = 0) -> Enclave:
    return Enclave()


@pytest.fixture
def registry(clock: Clock) -> RegistryAdmin:
    chain = Chain(10740, now=clock, attestation_roots={authority().root_sha256})
    return deploy.deploy_registry_chain(chain, admin_key=ADMIN)


def register(
    registry: RegistryAdmin, clock: Clock, host: Enclave | None = None, **changes: Any
) -> str:
    host = host or enclave()
    document = changes.pop("document", None) or host.document(authority(), clock)
    arguments: dict[str, Any] = {
        "public_key": host.public_key,
        "tls_certificate": host.certificate,
        "document": document,
    }
    return registry.register(STRANGER, PAYEE, "https://127.0.0.1:1", **(arguments | changes))


def test_a_registered_host_is_active_and_listed_with_everything(
    registry: RegistryAdmin, clock: Clock
) -> None:
    registry.approve_pcr(PCR_HASH, "v1.2")
    tee_id = register(registry, clock)
    assert tee_id == "0x" + keccak(enclave().public_key).hex()
    identity = bytes.fromhex(tee_id[2:])
    read = registry.contract.read
    (entry,) = read("getActiveTEEs", 0)
    assert entry == read("getTEE", identity)
    assert entry[:10] == (
        deploy.address_of(STRANGER).lower(),
        PAYEE.lower(),
        "https://127.0.0.1:1",
        enclave().public_key,
        enclave().certificate,
        PCR_HASH,
        0,
        True,
        int(clock.now),
        int(clock.now),
    )
    assert entry[10] == (0, 0, 0, 0, b"", b"", 0)
    assert read("getTEEsByType", 0) == read("getEnabledTEEs", 0) == (identity,)
    assert read("getTEEsByType", 1) == read("getActiveTEEs", 1) == ()
    assert (read("isTEEActive", identity), read("isTEEEnabled", identity)) == (True, True)
    assert read("pcrRecords", 0, PCR_HASH) == (True, 0, int(clock.now), "v1.2")
    assert read("getApprovedPCRs") == ((PCR_HASH, 0),)
    assert read("heartbeatMaxAge") == 1800


def test_events_have_the_documented_topics(registry: RegistryAdmin, clock: Clock) -> None:
    registry.approve_pcr(PCR_HASH, "v1")
    tee_id = register(registry, clock)
    registry.disable(tee_id)
    registry.enable(tee_id)
    registry.heartbeat(tee_id, key=STRANGER)
    registry.revoke_pcr(PCR_HASH)
    owner = "0x" + deploy.address_of(STRANGER)[2:].lower().rjust(64, "0")
    pcr = "0x" + PCR_HASH.hex()
    expected = [
        ("PCRApproved(bytes32,uint8,string)", [pcr, "0x" + "0" * 64]),
        ("TEERegistered(bytes32,address,uint8)", [tee_id, owner]),
        ("TEEDisabled(bytes32)", [tee_id]),
        ("TEEEnabled(bytes32)", [tee_id]),
        ("HeartbeatReceived(bytes32,uint256)", [tee_id]),
        ("PCRRevoked(bytes32,uint8)", [pcr, "0x" + "0" * 64]),
    ]
    request = {"address": REGISTRY_ADDRESS, "fromBlock": "0x0"}
    answer = registry.chain.handle({"id": 1, "method": "eth_getLogs", "params": [request]})
    assert [log["topics"] for log in answer["result"]] == [
        ["0x" + keccak(text=signature).hex(), *indexed] for signature, indexed in expected
    ]


def test_registration_needs_an_approved_measurement(registry: RegistryAdmin, clock: Clock) -> None:
    with pytest.raises(Reverted, match="PCRNotApproved"):
        register(registry, clock)
    registry.approve_pcr(PCR_HASH, "for validators", tee_type=1)
    with pytest.raises(Reverted, match="PCRNotApproved"):
        register(registry, clock)
    assert register(registry, clock, tee_type=1)


def test_registration_needs_a_genuine_document_about_these_keys(
    registry: RegistryAdmin, clock: Clock
) -> None:
    registry.approve_pcr(PCR_HASH, "v1")
    registry.approve_pcr(keccak(bytes(144)), "debug")
    good = enclave().document(authority(), clock)
    bad: dict[str, dict[str, Any]] = {
        "foreign root": {"document": enclave().document(Authority.create(), clock)},
        "other key": {"public_key": enclave(1).public_key},
        "other certificate": {"tls_certificate": enclave(1).certificate},
        "changed byte": {"document": good[:-1] + bytes([good[-1] ^ 1])},
        "trailing byte": {"document": good + b"\0"},
        "debug mode": {"document": enclave().document(authority(), clock, pcrs={})},
        "too old": {
            "document": enclave().document(
                authority(), clock, timestamp_ms=int((clock.now - 90_000) * 1000)
            )
        },
        "nothing": {"document": b"\0"},
    }
    for name, changes in bad.items():
        with pytest.raises(Reverted, match="AttestationInvalid"):
            pytest.fail(f"{name} was registered as {register(registry, clock, **changes)}")
    assert register(registry, clock)
    with pytest.raises(Reverted, match="AlreadyRegistered"):
        register(registry, clock)


def test_disabling_shows_from_its_block_on_only(registry: RegistryAdmin, clock: Clock) -> None:
    registry.approve_pcr(PCR_HASH, "v1")
    tee_id = register(registry, clock)
    before = registry.chain.block_number
    registry.disable(tee_id)
    assert not registry.is_active(tee_id)
    assert (
        registry.contract.read("getActiveTEEs", 0)
        == registry.contract.read("getEnabledTEEs", 0)
        == ()
    )
    assert len(registry.contract.read("getTEEsByType", 0)) == 1
    assert registry.is_active(tee_id, block=before)
    assert len(registry.contract.read("getActiveTEEs", 0, block=before)) == 1
    with pytest.raises(Reverted, match="NotEnabled"):
        registry.heartbeat(tee_id)
    registry.enable(tee_id)
    assert registry.is_active(tee_id)


def test_revoking_a_measurement_ends_its_hosts_at_once(
    registry: RegistryAdmin, clock: Clock
) -> None:
    registry.approve_pcr(PCR_HASH, "v1")
    tee_id = register(registry, clock)
    before = registry.chain.block_number
    registry.revoke_pcr(PCR_HASH)
    assert not registry.is_active(tee_id)
    assert registry.is_active(tee_id, block=before)
    assert registry.contract.read("getApprovedPCRs") == ()
    assert registry.contract.read("pcrRecords", 0, PCR_HASH)[0] is False
    with pytest.raises(Reverted, match="PCRNotApproved"):
        registry.enable(tee_id)
    with pytest.raises(Reverted, match="PCRNotApproved"):
        registry.revoke_pcr(PCR_HASH)
    registry.approve_pcr(PCR_HASH, "v1 again")
    assert registry.is_active(tee_id)
    assert len(registry.contract.read("getApprovedPCRs")) == 1


def test_a_silent_host_stops_being_active(registry: RegistryAdmin, clock: Clock) -> None:
    registry.approve_pcr(PCR_HASH, "v1")
    tee_id = register(registry, clock)
    clock.now += 1799
    assert registry.is_active(tee_id)
    clock.now += 2
    assert not registry.is_active(tee_id)
    assert registry.contract.read("getActiveTEEs", 0) == ()
    registry.heartbeat(tee_id, key=STRANGER)
    assert registry.is_active(tee_id)
    assert registry.contract.read("getTEE", bytes.fromhex(tee_id[2:]))[9] == int(clock.now)


def test_a_host_signs_its_own_heartbeat(registry: RegistryAdmin, clock: Clock) -> None:
    registry.approve_pcr(PCR_HASH, "v1")
    tee_id = register(registry, clock)
    clock.now += 4000
    now = int(clock.now)

    def beat(timestamp: int, signer: Enclave | None = None, signed: int | None = None) -> Any:
        digest = deploy.heartbeat_digest(tee_id, timestamp if signed is None else signed)
        return registry.heartbeat_signed(tee_id, timestamp, (signer or enclave()).sign(digest))

    for wrong, message in [
        (lambda: beat(now, signer=enclave(1)), "SignatureInvalid"),
        (lambda: beat(now, signed=now - 1), "SignatureInvalid"),
        (lambda: beat(now - 3602), "TimestampOutOfBounds"),
        (lambda: beat(now + 303), "TimestampOutOfBounds"),
    ]:
        with pytest.raises(Reverted, match=message):
            wrong()
    assert not registry.is_active(tee_id)
    beat(now)
    assert registry.is_active(tee_id)
    with pytest.raises(Reverted, match="TimestampNotNewer"):
        beat(now)


def test_only_owner_and_admin_act_on_a_host_and_only_the_admin_on_measurements(
    registry: RegistryAdmin, clock: Clock
) -> None:
    registry.approve_pcr(PCR_HASH, "v1")
    tee_id = register(registry, clock)
    registry.chain.fund(deploy.address_of(PAYER), 10**20)
    contract, identity = registry.contract, bytes.fromhex(tee_id[2:])
    for function in ("enableTEE", "disableTEE", "heartbeatByOwner"):
        assert refused(contract, PAYER, function, identity) == "NotOwner"
        assert refused(contract, PAYER, function, bytes(32)) == "UnknownTEE"
    for function, arguments in (
        ("approvePCR", (PCR_HASH, 0, "x")),
        ("revokePCR", (PCR_HASH, 0)),
        ("setHeartbeatMaxAge", (1,)),
    ):
        assert refused(contract, STRANGER, function, *arguments) == "NotAdmin"
    assert (
        refused(contract, PAYER, "initialize", deploy.address_of(PAYER), 1) == "AlreadyInitialized"
    )
    contract.send(STRANGER, "disableTEE", identity)
    assert not registry.is_active(tee_id)


def test_an_ohttp_key_is_shown_with_its_host(registry: RegistryAdmin, clock: Clock) -> None:
    registry.approve_pcr(PCR_HASH, "v1")
    tee_id = register(registry, clock)
    registry.contract.send(
        STRANGER, "setOHTTPConfig", bytes.fromhex(tee_id[2:]), 1, 32, 1, 3, b"\x07" * 32, b"\x08"
    )
    (entry,) = registry.contract.read("getActiveTEEs", 0)
    assert entry[10] == (1, 32, 1, 3, b"\x07" * 32, b"\x08", int(clock.now))


def test_an_unknown_host_is_not_active(registry: RegistryAdmin) -> None:
    assert not registry.is_active(bytes(32))
    with pytest.raises(Reverted, match="UnknownTEE"):
        registry.contract.read("getTEE", bytes(32))


# --------------------------------------------------------------------------------------- precompile


@pytest.mark.parametrize(
    "data", [b"", b"\x01\x02\x03\x04", keccak(text="verifyRSAPSS(bytes,bytes32,bytes)")[:4]]
)
def test_the_precompile_reverts_on_what_it_does_not_understand(
    registry: RegistryAdmin, data: bytes
) -> None:
    with pytest.raises(Reverted):
        registry.chain.call("0x" + "0900".rjust(40, "0"), data)


@pytest.mark.parametrize("salt", [0, 20, 32])
def test_the_precompile_takes_pss_with_a_salt_of_32_bytes_only(
    registry: RegistryAdmin, salt: int
) -> None:
    digest = bytes(range(32))
    signature = enclave().key.sign(
        digest, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256()
    )
    assert pss(registry, enclave().public_key, digest, signature) is (salt == 32)


def test_the_precompile_says_no_to_other_keys(registry: RegistryAdmin) -> None:
    digest = bytes(32)
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    keys = [
        b"",
        b"\x30\x00",
        enclave(1).public_key,
        curve.public_bytes(serialization.Encoding.DER, spki),
    ]
    signature = enclave().sign(digest)
    assert [pss(registry, key, digest, signature) for key in keys] == [False] * 4


def pss(registry: RegistryAdmin, key: bytes, digest: bytes, signature: bytes) -> bool:
    from eth_abi import encode

    data = keccak(text="verifyRSAPSS(bytes,bytes32,bytes)")[:4]
    data += encode(["bytes", "bytes32", "bytes"], [key, digest, signature])
    answer = registry.chain.call("0x" + "0900".rjust(40, "0"), data)
    assert len(answer) == 32
    return bool(int.from_bytes(answer, "big"))


# ---------------------------------------------------------------------------------------- artefacts


def test_artefacts_were_built_from_these_sources() -> None:
    digest = hashlib.sha256()
    for source in sorted(CONTRACTS.glob("*.sol"), key=lambda path: path.name):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    assert digest.hexdigest() == deploy.artifacts()["sourcesSha256"], (
        "run `npm ci && npm run build` in the contracts' folder"
    )


@pytest.mark.skipif(not shutil.which("npm"), reason="Node and npm are not installed")
def test_rebuilding_gives_the_committed_artefacts(tmp_path: Path) -> None:
    # As deep as in the project: the stub's source is looked for from there.
    work, stub, out = (
        tmp_path / "opg_magic/simnet/contracts",
        tmp_path / "tests/support/contracts",
        tmp_path / "out",
    )
    for folder in (work, stub, out):
        folder.mkdir(parents=True)
    shutil.copy(STUB.with_suffix(".sol"), stub)
    for name in ("package.json", "package-lock.json", "build.mjs"):
        shutil.copy(CONTRACTS / name, work)
    for source in CONTRACTS.glob("*.sol"):
        shutil.copy(source, work)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1"]
    install = subprocess.run(command, cwd=work, capture_output=True, text=True)
    if install.returncode:
        pytest.skip("the compiler could not be fetched: " + install.stderr.strip()[-200:])
    subprocess.run(["node", "build.mjs", str(out)], cwd=work, check=True)
    for committed in (CONTRACTS / "artifacts.json", CLIENT_ABI, STUB):
        assert (out / committed.name).read_text() == committed.read_text()


def test_every_client_function_is_one_of_the_contracts() -> None:
    """What clients decode with is what the contracts answer; the older tuple differs by its last
    member alone."""
    client = json.loads(CLIENT_ABI.read_text())
    owners = {
        "registry": "TEERegistry",
        "erc20": "OPGToken",
        "permit2": "Permit2",
        "upto_proxy": "X402UptoPermit2Proxy",
        "settlement_relay": "SettlementRelay",
    }
    for part, name in owners.items():
        own = deploy.artifacts()["contracts"][name]["abi"]
        assert client[part]
        assert all(entry in own for entry in client[part])
    old = {e["name"]: e for e in client["registry_without_ohttp"]}
    new = {e["name"]: e for e in client["registry"]}
    for name in ("getActiveTEEs", "getTEE"):
        members = [c["name"] for c in new[name]["outputs"][0]["components"]]
        assert members[-1] == "ohttpConfig"
        assert [c["name"] for c in old[name]["outputs"][0]["components"]] == members[:-1]
        assert old[name]["inputs"] == new[name]["inputs"]


#: The SDK's view functions, as (name, inputs, outputs): the wire that the registry must
#: keep.
_OHTTP = "(uint8,uint16,uint16,uint16,bytes,bytes,uint256)"
_TEE = f"(address,address,string,bytes,bytes,bytes32,uint8,bool,uint256,uint256,{_OHTTP})"
SDK_VIEWS = {
    ("getActiveTEEs", "uint8", _TEE + "[]"),
    ("getEnabledTEEs", "uint8", "bytes32[]"),
    ("getTEEsByType", "uint8", "bytes32[]"),
    ("getTEE", "bytes32", _TEE),
    ("isTEEActive", "bytes32", "bool"),
    ("isTEEEnabled", "bytes32", "bool"),
}


def test_the_registry_speaks_the_abi_of_the_official_sdk() -> None:
    functions = [
        e for e in json.loads(CLIENT_ABI.read_text())["registry"] if e["type"] == "function"
    ]
    spoken = {
        (
            e["name"],
            ",".join(map(deploy._type, e["inputs"])),
            ",".join(map(deploy._type, e["outputs"])),
        )
        for e in functions
    }
    assert spoken >= SDK_VIEWS
    assert all(e["stateMutability"] == "view" for e in functions)
