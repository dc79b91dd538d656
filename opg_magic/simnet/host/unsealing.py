"""The host's side of a sealed request: open it, let the host answer it as any other, seal that.

No source of a real host's side is public: this is the counterpart of what the official SDK sends
and reads.  What is owed for sealed calls is kept on a tab, because nothing is known of how a real
relay pays."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import CHAT_PATH, Authorisation, strict_json
from opg_magic.models.secret import Secret
from opg_magic.protocol import ohttp
from opg_magic.simnet.payment.facilitator import SignedPayment
from opg_magic.simnet.payment.sessions import Session

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

    from opg_magic.simnet.host.conduct import Honest

#: Where a relay brings sealed requests.
SEALED_PATH = "/v1/ohttp"

KEY_ID = 1
_NOBODY = "0x" + "0" * 40


class SealingIdentity:
    """A host's key pair for sealed requests, made with the host."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        self._private = X25519PrivateKey.generate()
        self.key = ohttp.SealingKey(KEY_ID, self._private.public_key().public_bytes_raw())

    def config(self) -> tuple[int, int, int, int, bytes, bytes]:
        """What the registry lists: key id, suite, public key, and all of it in RFC 9458's form."""
        suites = b"\0\4" + self.key.header[3:]
        blob = self.key.header[:3] + self.key.public_key + suites
        return KEY_ID, ohttp.KEM, ohttp.KDF, ohttp.AEAD, self.key.public_key, blob

    def unseal(self, wire: bytes) -> tuple[bytes, Sealer]:
        """The request, and what seals its answer.  Raises MalformedMessage if it is not for this
        key."""
        from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey
        from pyhpke.exceptions import PyHPKEError

        start = ohttp.HEADER_SIZE + ohttp.PUBLIC_KEY_SIZE
        header, enc = wire[: ohttp.HEADER_SIZE], wire[ohttp.HEADER_SIZE : start]
        if header != self.key.header or len(wire) < start + ohttp.TAG_SIZE:
            raise MalformedMessage("not a request sealed to this key")
        suite = CipherSuite.new(
            KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305
        )
        try:
            context = suite.create_recipient_context(
                enc, KEMKey.from_pyca_cryptography_key(self._private), info=ohttp.info_of(header)
            )
            plaintext: bytes = context.open(wire[start:])
        except (PyHPKEError, ValueError):
            raise MalformedMessage("not a request sealed to this key") from None
        return plaintext, Sealer(context, enc)


class Sealer:
    """Seals one answer, in one piece or in chunks."""

    def __init__(self, context: Any, encapsulated: bytes) -> None:
        self._context = context
        self._encapsulated = encapsulated
        self._counter = 0
        self._keys: tuple[bytes, bytes] | None = None

    def _begin(self, label: bytes) -> bytes:
        nonce = secrets.token_bytes(ohttp.RESPONSE_NONCE_SIZE)
        secret = self._context.export(label, ohttp.KEY_SIZE)
        self._keys = ohttp.response_keys(secret, self._encapsulated, nonce)
        return nonce

    def _seal(self, plaintext: bytes, aad: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        assert self._keys is not None
        key, base = self._keys
        nonce = ohttp.chunk_nonce(base, self._counter)
        self._counter += 1
        return ChaCha20Poly1305(key).encrypt(nonce, plaintext, aad)

    def whole(self, answer: bytes) -> bytes:
        """The whole answer, sealed in one piece."""
        return self._begin(ohttp.RESPONSE_LABEL) + self._seal(answer, b"")

    def first(self) -> bytes:
        """What a stream begins with."""
        return self._begin(ohttp.CHUNKED_LABEL)

    def chunk(self, piece: bytes) -> bytes:
        """One chunk of a stream."""
        sealed = self._seal(piece, b"")
        return ohttp.write_varint(len(sealed)) + sealed

    def last(self, piece: bytes = b"") -> bytes:
        """The chunk that ends a stream."""
        return ohttp.write_varint(0) + self._seal(piece, ohttp.FINAL)


class Unsealing:
    """Answers what a relay brings to one host.

    The request goes to the host's own front, as any other would: what cheats change there is
    changed here.  ``tab`` is the session that pays for it, of no payment."""

    def __init__(self, identity: SealingIdentity) -> None:
        self.identity = identity
        nothing = Authorisation(0, _NOBODY, _NOBODY, 2**255, _NOBODY, 0, 0, _NOBODY, _NOBODY, 0)
        payment = SignedPayment(nothing, Secret(b""), {}, "")
        self.tab = Session(Secret(str(uuid.uuid4())), payment, "POST", CHAT_PATH, 0.0)
        self._http: ClientSession | None = None

    def pays(self, session_id: str) -> bool:
        """Whether that id is the tab's."""
        return secrets.compare_digest(session_id.encode(), self.tab.id.reveal().encode())

    async def close(self) -> None:
        """Close the connections to the front."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    def _client(self) -> ClientSession:
        import aiohttp

        if self._http is None:
            # To itself, on this machine: nothing to be pinned.
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False))
        return self._http

    async def answer(
        self, request: web.Request, endpoint: str, cheat: Honest
    ) -> web.StreamResponse:
        """The sealed answer to a sealed request; 400 where it does not open."""
        import aiohttp
        from aiohttp import web

        try:
            plaintext, sealer = self.identity.unseal(await request.read())
        except MalformedMessage as unreadable:
            return web.json_response({"error": unreadable.message}, status=400)
        headers = {
            "Authorization": "Bearer relay",
            "Content-Type": "application/json",
            "X-SETTLEMENT-TYPE": "private",
            "X-Upto-Session": self.tab.id.reveal(),
        }
        inner = self._client().post(endpoint + CHAT_PATH, data=plaintext, headers=headers)
        try:
            async with inner as answer:
                if _wants_stream(plaintext):
                    return await self._stream(request, answer, sealer, cheat)
                raw = cheat.envelope(answer.status, await answer.read())
                return web.Response(body=sealer.whole(raw), content_type=ohttp.RESPONSE_TYPE)
        except aiohttp.ClientError:
            # The host broke off: so does this.
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=502)

    async def _stream(
        self, request: web.Request, answer: Any, sealer: Sealer, cheat: Honest
    ) -> web.StreamResponse:
        from aiohttp import web

        response = web.StreamResponse(headers={"Content-Type": ohttp.CHUNKED_TYPE})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(sealer.first())
        if answer.status != 200:
            # An event of the stream, as the SDK reads it.
            message = strict_json.dumps_python({"error": _reason(await answer.read())})
            await response.write(sealer.chunk(f"data: {message}\n\n".encode()))
        else:
            async for event in _events(answer):
                await response.write(sealer.chunk(event))
        await response.write(sealer.last())
        with suppress(ConnectionError):
            await response.write_eof()
        return response


async def _events(answer: Any) -> AsyncIterator[bytes]:
    """A stream's bytes, event by event; what is left at its end is the last one."""
    pending = b""
    async for part in answer.content.iter_any():
        pending += part
        *events, pending = pending.split(b"\n\n")
        for event in events:
            yield event + b"\n\n"
    if pending:
        yield pending


def _wants_stream(plaintext: bytes) -> bool:
    try:
        body = strict_json.loads_leniently(plaintext.decode("utf-8", "replace"))
    except ValueError:
        return False
    return isinstance(body, dict) and body.get("stream") is True


def _reason(raw: bytes) -> str:
    try:
        body = strict_json.loads_leniently(raw.decode("utf-8", "replace"))
    except ValueError:
        body = None
    found = body.get("error") or body.get("detail") if isinstance(body, dict) else None
    return str(found or "Request processing failed")
