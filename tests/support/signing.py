"""Signed exchanges made here, with keys made here: plain, streamed, and whole evidence that is
VERIFIED (simulated).

Everything can be changed on the way, so that an attack is one argument: see
``tests/verify/test_attacks.py``."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from opg_magic.models import (
    AttestationEvidence,
    Authorisation,
    ChannelEvidence,
    Evidence,
    Host,
    Kind,
    RegistryEvidence,
    ResponseEvidence,
    SealedEvidence,
    Trust,
    strict_json,
)
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.network.profiles import REGISTRY_ADDRESS, REGISTRY_CHAIN_ID
from opg_magic.protocol import canonical, x402
from opg_magic.protocol.keccak import keccak256
from opg_magic.protocol.reply import read_reply
from opg_magic.protocol.sse import read_stream
from opg_magic.simnet.host.nitro import Authority
from opg_magic.wallet.bounds import Bounds
from opg_magic.wallet.keys import Wallet

SENT = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
RECEIVED = SENT + timedelta(seconds=2)
#: When hosts sign, unless told otherwise: whole Unix seconds, between sending and receiving.
SIGNED = int(SENT.timestamp()) + 1

PCRS = {0: b"\x0a" * 48, 1: b"\x0b" * 48, 2: b"\x0c" * 48}
PCR_HASH = "0x" + keccak256(PCRS[0] + PCRS[1] + PCRS[2]).hex()
NONCE = bytes(range(20))

CHAT: Mapping[str, Any] = {
    "model": "gpt-5",
    "messages": [{"role": "user", "content": "Say hi"}],
    "temperature": 0.0,
    "max_tokens": 50,
}
COMPLETION: Mapping[str, Any] = {
    "model": "gpt-5",
    "prompt": "Once upon",
    "max_tokens": 100,
    "temperature": 0.0,
}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
TOOL_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Graz"}'},
}


# --------------------------------------------------------------------------------------------- keys


@dataclass(frozen=True)
class Signer:
    """A host's signing key."""

    key: rsa.RSAPrivateKey

    @property
    def der(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def pem(self) -> str:
        return (
            self.key.public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    @property
    def tee_id(self) -> str:
        return canonical.tee_id(self.der)

    def sign(self, digest: bytes, *, salt: int = 32) -> str:
        scheme = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=salt)
        return base64.b64encode(self.key.sign(digest, scheme, SHA256())).decode()


def signer(name: str = "anna", bits: int = 2048) -> Signer:
    """The key of that name: made once a test run."""
    return _signer(name, bits)


@lru_cache
def _signer(name: str, bits: int) -> Signer:
    return Signer(rsa.generate_private_key(public_exponent=65537, key_size=bits))


@lru_cache
def authority() -> Authority:
    """The simulated root that :func:`evidence` attests under."""
    return Authority.create(now=SENT)


# ------------------------------------------------------------------------------------------ answers


def canonical_of(
    body: Mapping[str, Any], kind: Kind = "chat", version: str = canonical.CANONICALISER
) -> str:
    return canonical.canonicalise(kind, json.loads(json.dumps(body)), version)


def signed_keys(
    by: Signer,
    body: Mapping[str, Any],
    output: str,
    *,
    timestamp: int = SIGNED,
    kind: Kind = "chat",
    version: str = canonical.CANONICALISER,
    salt: int = 32,
    **edits: Any,
) -> dict[str, Any]:
    """The five signed fields over a request and an output; ``edits`` replace fields after signing
    (``...`` drops)."""
    request = canonical.request_hash(canonical_of(body, kind, version))
    answer = canonical.output_hash(output)
    fields: dict[str, Any] = {
        "tee_signature": by.sign(canonical.signed_digest(request, answer, timestamp), salt=salt),
        "tee_timestamp": timestamp,
        "tee_request_hash": request.hex(),
        "tee_output_hash": answer.hex(),
        "tee_id": by.tee_id,
    }
    return {key: value for key, value in (fields | edits).items() if value is not ...}


def reply(
    by: Signer,
    body: Mapping[str, Any] = CHAT,
    *,
    text: str = "hi there",
    tool_calls: Sequence[Mapping[str, Any]] | None = None,
    kind: Kind = "chat",
    signed: bool = True,
    shown: str | None = None,
    finish_reason: str | None = None,
    extra: Mapping[str, Any] | None = None,
    **signing: Any,
) -> str:
    """A whole JSON answer.  ``shown`` is what it displays where that differs from the ``text`` that
    is signed."""
    output = text if tool_calls is None else json.dumps(tool_calls, sort_keys=True)
    message: dict[str, Any] = {"role": "assistant", "content": text if shown is None else shown}
    if tool_calls is not None:
        message |= {"content": shown or "", "tool_calls": list(tool_calls)}
    reason = finish_reason or ("stop" if tool_calls is None else "tool_calls")
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "message": message}
    if kind == "completion":
        choice = {"index": 0, "finish_reason": reason, "text": message["content"]}
    answer: dict[str, Any] = {
        "id": "x",
        "object": "chat.completion",
        "created": SIGNED,
        "model": body["model"],
    }
    answer |= {
        "choices": [choice],
        "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16},
    }
    if signed:
        answer |= signed_keys(by, body, output, kind=kind, **signing)
    return json.dumps(answer | dict(extra or {}), indent=2)


def chunk(
    delta: Mapping[str, Any] | None = None, finish_reason: str | None = None, **more: Any
) -> dict[str, Any]:
    """One chunk of a stream."""
    choice = {"delta": dict(delta or {}), "index": 0, "finish_reason": finish_reason}
    return {"choices": [choice], "model": "gpt-5", **more}


def sse(*messages: Mapping[str, Any] | str, done: bool = True) -> bytes:
    """Chunks (or texts, as they are) as an event stream."""
    lines = [message if isinstance(message, str) else json.dumps(message) for message in messages]
    if done:
        lines.append("[DONE]")
    return "".join(f"data: {line}\n\n" for line in lines).encode()


def chunks(
    by: Signer,
    body: Mapping[str, Any] = CHAT,
    *,
    pieces: Sequence[str] = ("hi ", "there"),
    fragments: Sequence[Mapping[str, Any]] = (),
    output: str | None = None,
    signed: bool = True,
    finish_reason: str | None = None,
    **signing: Any,
) -> list[dict[str, Any]]:
    """The chunks of a stream, the signed one last.

    ``fragments`` are tool call deltas, one a chunk; ``output`` is the exact string signed, where it
    is not the text."""
    found = [chunk({"content": piece, "role": "assistant"}) for piece in pieces]
    found += [chunk({"role": "assistant", "tool_calls": [fragment]}) for fragment in fragments]
    text = "".join(pieces) if output is None else output
    final = signed_keys(by, body, text, **signing) if signed else {}
    usage = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
    return [
        *found,
        chunk({}, finish_reason or ("tool_calls" if fragments else "stop"), **final, usage=usage),
    ]


def stream(
    by: Signer, body: Mapping[str, Any] = CHAT, *, done: bool = True, **options: Any
) -> bytes:
    """A whole signed stream; options as for :func:`chunks`."""
    return sse(*chunks(by, body, **options), done=done)


# ----------------------------------------------------------------------------------------- evidence


def host(by: Signer | None = None, **changes: Any) -> Host:
    """A registered host with that key."""
    by = by or signer()
    entry = Host(
        tee_id=by.tee_id,
        owner="0x" + "11" * 20,
        payment_address="0x" + "22" * 20,
        endpoint="https://127.0.0.1:8443",
        public_key=by.der,
        tls_certificate=b"the TLS certificate of " + by.tee_id.encode(),
        pcr_hash=PCR_HASH,
        tee_type=0,
        enabled=True,
        registered_at=SIGNED - 86400,
        last_heartbeat_at=SIGNED - 60,
    )
    return replace(entry, **changes)


def registry(entry: Host | None, **changes: Any) -> RegistryEvidence:
    """That host as the registry lists it at a block just before the call."""
    found = RegistryEvidence(
        chain_id=REGISTRY_CHAIN_ID,
        contract=REGISTRY_ADDRESS,
        block_number=1234,
        block_hash="0x" + "ab" * 32,
        block_time=SENT - timedelta(seconds=30),
        entry=entry,
        active=entry is not None,
        pcr_approved=None if entry is None else True,
        pcr_version="1.0",
        rpcs=("127.0.0.1:1", "127.0.0.1:2"),
    )
    return replace(found, **changes)


def attestation(entry: Host, **changes: Any) -> AttestationEvidence:
    """A fresh document of that host's enclave, under :func:`authority`; ``changes`` go to
    ``Authority.document``."""
    arguments: dict[str, Any] = {
        "pcrs": PCRS,
        "nonce": NONCE,
        "signing_key_der": entry.public_key,
        "tls_certificate_der": entry.tls_certificate,
        "timestamp_ms": (SIGNED - 60) * 1000,
    }
    document = authority().document(**(arguments | changes))
    return AttestationEvidence(document, NONCE, SENT - timedelta(seconds=60))


def read(raw: str | bytes, kind: Kind = "chat") -> ResponseEvidence:
    """A JSON text or a stream, read as the product reads it."""
    data = raw.encode() if isinstance(raw, str) else raw
    return read_reply(data, kind) if data.lstrip().startswith(b"{") else read_stream(data)


def evidence(
    raw: str | bytes | None = None,
    body: Mapping[str, Any] | bytes | str = CHAT,
    *,
    by: Signer | None = None,
    kind: Kind = "chat",
    version: str = canonical.CANONICALISER,
    **changes: Any,
) -> Evidence:
    """Whole evidence of one call to host ``by``: as it stands, VERIFIED (simulated) for the kernel
    that made the call.

    ``raw`` is the answer, a signed stream if left out; ``changes`` replace fields of
    :class:`Evidence`."""
    by = by or signer()
    sent = body if isinstance(body, bytes | str) else json.dumps(body)
    if raw is None:
        raw = stream(by, strict_json.loads(sent))
    entry = changes.get("host") or host(by)
    found = Evidence(
        request=canonical.request_evidence(sent, kind, version),
        response=read(raw, kind),
        sent_at=SENT,
        received_at=RECEIVED,
        signing_key=by.der,
        host=entry,
        attestation=attestation(entry) if "attestation" not in changes else None,
        registry=registry(entry),
        channel=ChannelEvidence(hashlib.sha256(entry.tls_certificate).hexdigest(), "TLSv1.3"),
    )
    return replace(found, **changes)


def live(**changes: Any) -> Trust:
    """The kernel that made the call, on the simulated network."""
    roots = frozenset({authority().root_sha256})
    return replace(Trust(simulated_roots=roots, reader=False), **changes)


def reader(**changes: Any) -> Trust:
    """Somebody else who opens the receipt and knows the simulated root."""
    return replace(live(), **({"reader": True} | changes))


def as_aws(**changes: Any) -> Trust:
    """A kernel for which the root made here plays AWS' part: the only way to a VERIFIED that is not
    simulated."""
    return replace(Trust(aws_root_sha256=authority().root_sha256, reader=False), **changes)


def sign_when_made(wallet: Wallet, auth: Authorisation, network: Network) -> Secret[str]:
    """The wallet's signature, as if it were asked for in the second in which the authorisation was
    made."""
    bounds = Bounds(
        frozenset({auth.pay_to.lower()}),
        frozenset({auth.facilitator.lower()}),
        max_cap=auth.cap,
        max_seconds=auth.deadline - auth.valid_after - x402.VALID_AFTER_MARGIN,
    )
    made = auth.valid_after + x402.VALID_AFTER_MARGIN
    return wallet.sign_permit(auth, network, bounds, clock=lambda: made)


def sealed_call(by: Signer | None = None, **changes: Any) -> Evidence:
    """Whole evidence of one call on the private route, sealed to the key that the registry lists
    for host ``by``."""
    by = by or signer()
    key = hashlib.sha256(by.der).digest()
    config = {
        "keyId": 1,
        "kemId": 0x20,
        "kdfId": 1,
        "aeadId": 3,
        "publicKey": key,
        "keyConfig": b"\x01\x00\x20" + key,
        "registeredAt": SIGNED - 86400,
    }
    sealed = SealedEvidence("relay.example", bytes.fromhex("01002000010003"), key)
    given = {"host": host(by, ohttp_config=config), "channel": None, "sealed": sealed}
    return evidence(by=by, **{**given, **changes})
