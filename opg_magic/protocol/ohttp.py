"""Oblivious HTTP as the network speaks it: a request sealed to a host's own key, its answer opened.

Requests and single answers are RFC 9458 over RFC 9180 (HPKE, base mode), but what is sealed is the
chat JSON itself, no binary HTTP.  Streamed answers are draft-ietf-ohai-chunked-ohttp.  One suite is
known; another is refused.

What an opener returns came from whoever holds the host's key, for this very request, in this order.
It proves nothing else: the answer's own signature is judged as on any other way.  Openers keep at
most one chunk, and never trust a length before that many bytes are there."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models.secret import Secret
from opg_magic.protocol.reply import MAX_BODY_BYTES

#: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305 (RFC 9180, section 7).
KEM, KDF, AEAD = 0x0020, 0x0001, 0x0003

REQUEST_TYPE = "message/ohttp-req"
RESPONSE_TYPE = "message/ohttp-res"
CHUNKED_TYPE = "message/ohttp-chunked-res"

#: Bytes of the request's header, of an X25519 key, of the AEAD's key, nonce and tag.
HEADER_SIZE, PUBLIC_KEY_SIZE, KEY_SIZE, NONCE_SIZE, TAG_SIZE = 7, 32, 32, 12, 16
#: Bytes of the nonce that begins an answer: the larger of the AEAD's key and nonce.
RESPONSE_NONCE_SIZE = 32

#: The longest sealed chunk.  A chunk carries an event or a few of a stream.
MAX_CHUNK = 4 * 1024 * 1024
#: The most sealed bytes of one answer: its chunks cost a length and a tag each.
MAX_SEALED = MAX_BODY_BYTES + 4 * 1024 * 1024

REQUEST_LABEL = b"message/bhttp request"
RESPONSE_LABEL = b"message/bhttp response"
CHUNKED_LABEL = b"message/bhttp chunked response"
FINAL = b"final"


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A host's key for sealed requests, as its registry entry lists it."""

    key_id: int
    public_key: bytes

    @property
    def header(self) -> bytes:
        """The seven bytes that open a request and say what it is sealed with."""
        return struct.pack(">BHHH", self.key_id, KEM, KDF, AEAD)


def sealing_key(config: Mapping[str, Any] | None) -> SealingKey:
    """The key in a registry entry's ``ohttpConfig``.

    Raises MalformedMessage if there is none that this program can use, saying why."""
    key = None if config is None else config.get("publicKey")
    if config is None or key is None or key == b"":
        raise MalformedMessage("the registry lists no key for sealed requests", code="no-key")
    suite = [config.get(name) for name in ("kemId", "kdfId", "aeadId")]
    if suite != [KEM, KDF, AEAD] or not all(type(id) is int for id in suite):
        shown = ", ".join(
            f"0x{id:04x}" if type(id) is int and 0 <= id <= 0xFFFF else "none" for id in suite
        )
        raise MalformedMessage(
            f"its key for sealed requests is of another suite ({shown})", code="suite"
        )
    key_id = config.get("keyId")
    if not isinstance(key, bytes) or len(key) != PUBLIC_KEY_SIZE:
        raise MalformedMessage("its key for sealed requests has not 32 bytes", code="key-size")
    if type(key_id) is not int or not 0 <= key_id <= 255:
        raise MalformedMessage("the id of its key for sealed requests is no byte", code="key-id")
    return SealingKey(key_id, key)


def info_of(header: bytes) -> bytes:
    """HPKE's ``info`` of a request with this header (RFC 9458, section 4.3)."""
    return REQUEST_LABEL + b"\0" + header


@dataclass(frozen=True, slots=True)
class SealedRequest:
    """A sealed request (``wire``), and what opens its answer.

    ``encapsulated``: the sender's one-time key, 32 bytes, which is public."""

    wire: bytes
    header: bytes
    encapsulated: bytes
    single: Secret[bytes]
    chunked: Secret[bytes]


def seal_request(key: SealingKey, plaintext: bytes) -> SealedRequest:
    """Seal a request so that only the holder of the key can read it.

    Raises MalformedMessage if no secret can be agreed on with this key."""
    from pyhpke import AEADId, CipherSuite, KDFId, KEMId
    from pyhpke.exceptions import PyHPKEError

    suite = CipherSuite.new(
        KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305
    )
    try:
        recipient = suite.kem.deserialize_public_key(key.public_key)
        encapsulated, sender = suite.create_sender_context(recipient, info=info_of(key.header))
        sealed = sender.seal(plaintext)
    except (PyHPKEError, ValueError):
        # A point of low order, for one: no secret comes of it.
        raise MalformedMessage(
            "nothing can be sealed to its key for sealed requests", code="key"
        ) from None
    return SealedRequest(
        wire=key.header + encapsulated + sealed,
        header=key.header,
        encapsulated=encapsulated,
        single=Secret(sender.export(RESPONSE_LABEL, KEY_SIZE)),
        chunked=Secret(sender.export(CHUNKED_LABEL, KEY_SIZE)),
    )


def response_keys(
    secret: bytes, encapsulated: bytes, nonce: bytes, *, key_size: int = KEY_SIZE
) -> tuple[bytes, bytes]:
    """The AEAD's key and nonce of an answer (RFC 9458, section 4.4)."""
    import hmac

    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    pseudorandom = hmac.digest(encapsulated + nonce, secret, "sha256")

    def expand(info: bytes, size: int) -> bytes:
        return HKDFExpand(algorithm=SHA256(), length=size, info=info).derive(pseudorandom)

    return expand(b"key", key_size), expand(b"nonce", NONCE_SIZE)


def chunk_nonce(base: bytes, counter: int) -> bytes:
    """The nonce of the chunk with this number, counted from 0."""
    return (int.from_bytes(base, "big") ^ counter).to_bytes(NONCE_SIZE, "big")


def write_varint(value: int) -> bytes:
    """A QUIC variable-length integer (RFC 9000, section 16) in its shortest form."""
    for exponent, size in enumerate((1, 2, 4, 8)):
        if value < 1 << (8 * size - 2):
            return (value | exponent << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError("too large for a variable-length integer")


def read_varint(data: bytes | bytearray) -> tuple[int, int] | None:
    """The integer that ``data`` begins with and its size; None while bytes of it are missing.

    Raises MalformedMessage for a longer form than is needed: one length is written one way."""
    if not data:
        return None
    size = 1 << (data[0] >> 6)
    if len(data) < size:
        return None
    value = int.from_bytes(data[:size], "big") & ((1 << (8 * size - 2)) - 1)
    if size > 1 and value < 1 << (4 * size - 2):
        raise MalformedMessage("a chunk's length is not in its shortest form", code="framing")
    return value, size


class SingleOpener:
    """Opens an answer that was sealed in one piece."""

    def __init__(self, request: SealedRequest) -> None:
        self._request = request
        self._sealed = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes as they arrive; nothing opens before the end.  Raises MalformedMessage."""
        _refuse_above(len(self._sealed) + len(data), MAX_SEALED, "the sealed answer")
        self._sealed += data
        return []

    def finish(self) -> list[bytes]:
        """The answer, at the end of the body.  Raises MalformedMessage if it does not open."""
        if len(self._sealed) < RESPONSE_NONCE_SIZE + TAG_SIZE:
            raise MalformedMessage("the sealed answer was cut before its end", code="truncated")
        nonce = bytes(self._sealed[:RESPONSE_NONCE_SIZE])
        key, base = response_keys(self._request.single.reveal(), self._request.encapsulated, nonce)
        sealed = bytes(self._sealed[RESPONSE_NONCE_SIZE:])
        return [_open(key, base, sealed, b"", "the sealed answer does not open")]


class ChunkedOpener:
    """Opens a streamed answer chunk by chunk.

    A chunk opens only in its own place, and only the last one as the last.  The last has no length:
    it goes on to the end of the body, so that no byte can follow it."""

    def __init__(self, request: SealedRequest) -> None:
        self._request = request
        self._pending = bytearray()
        self._size = 0
        self._keys: tuple[bytes, bytes] | None = None
        self._counter = 0
        self._last = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes as they arrive; return the chunks that opened.  Raises MalformedMessage."""
        self._size += len(data)
        _refuse_above(self._size, MAX_SEALED, "the sealed answer")
        self._pending += data
        if self._keys is None:
            if len(self._pending) < RESPONSE_NONCE_SIZE:
                return []
            nonce = self._take(RESPONSE_NONCE_SIZE)
            secret = self._request.chunked.reveal()
            self._keys = response_keys(secret, self._request.encapsulated, nonce)
        opened: list[bytes] = []
        while not self._last and (found := read_varint(self._pending)) is not None:
            length, size = found
            if length == 0:
                self._take(size)
                self._last = True
                break
            _refuse_above(length, MAX_CHUNK, "a sealed chunk")
            if length < TAG_SIZE:
                raise MalformedMessage("a sealed chunk is shorter than its tag", code="framing")
            if len(self._pending) < size + length:
                break
            self._take(size)
            opened.append(self._chunk(self._take(length), b""))
        if self._last:
            _refuse_above(len(self._pending), MAX_CHUNK, "a sealed chunk")
        return opened

    def finish(self) -> list[bytes]:
        """The last chunk, at the end of the body.

        Raises MalformedMessage if the stream was cut, or bytes follow its end."""
        if not self._last or len(self._pending) < TAG_SIZE:
            raise MalformedMessage("the sealed stream was cut before its end", code="truncated")
        return [self._chunk(self._take(len(self._pending)), FINAL)]

    def _chunk(self, sealed: bytes, aad: bytes) -> bytes:
        assert self._keys is not None
        key, base = self._keys
        problem = (
            "the last chunk of the sealed stream does not open as the last"
            if aad
            else f"chunk {self._counter + 1} of the sealed stream does not open in its place"
        )
        opened = _open(key, chunk_nonce(base, self._counter), sealed, aad, problem)
        self._counter += 1
        return opened

    def _take(self, size: int) -> bytes:
        taken = bytes(self._pending[:size])
        del self._pending[:size]
        return taken


def _open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes, problem: str) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise MalformedMessage(problem, code="framing") from None


def _refuse_above(size: int, most: int, what: str) -> None:
    if size > most:
        raise MalformedMessage(f"{what} is longer than {most} bytes", code="too-large")
