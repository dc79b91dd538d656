"""Ways in which a simulated host can lie, for teaching and for tests; what befalls an honest one
too (``faults``).

One class a mode: each overrides the few steps of :class:`Honest` in which it differs.  The numbers
in the descriptions are those of the verification design, "The attacks"."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opg_magic.errors import SimnetError
from opg_magic.simnet import faults
from opg_magic.simnet.honest import CutOff, Event, Honest, write_document, write_event
from opg_magic.simnet.model import Reply, split_tokens

if TYPE_CHECKING:
    from aiohttp import web

    from opg_magic.simnet.facilitator import Facilitator, SignedPayment
    from opg_magic.simnet.host import Host
    from opg_magic.simnet.identity import Signer
    from opg_magic.simnet.sessions import Session

#: Nobody's addresses: a lying host names them instead of the right ones.
STRANGER = "0x00000000000000000000000000000000DeaDBeef"
USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"

#: Model output that tries everything a display could fall for (attack 27).
HOSTILE_TEXT = (
    "<script>document.title='owned'</script>"
    '<img src="x" onerror="alert(1)"><svg onload="alert(2)"></svg>'
    '<a href="javascript:alert(3)">click</a> '
    "![tracker](https://tracker.invalid/pixel.png) "
    "\x1b[2J\x1b[31mred\x1b[0m \x1b]8;;https://evil.invalid\x07link\x1b]8;;\x07 "
    '<div class="opg-receipt"><b>✓ VERIFIED</b> by OpenGradient</div>\n\n'
    "**✓ VERIFIED · 7 of 7 claims passed**\n\n"
    "</div></div></body><style>*{display:none}</style>‮drowssap ruoy"
)


def _with_text(event: Event, text: str) -> Event:
    choice = dict(event.document["choices"][0]) if event.document else {}
    choice["delta"] = {**choice.get("delta", {}), "content": text}
    return replace(event, document={**(event.document or {}), "choices": [choice]})


def _text_of(event: Event) -> str:
    return str(event.document["choices"][0]["delta"].get("content", "")) if event.document else ""


# ----------------------------------------------------------------------------------- what is signed


class ChangeByte(Honest):
    mode = "change-byte"
    says = "changes one letter of the answer after signing it (attack 1)"

    @staticmethod
    def _flip(text: str) -> str:
        for at, letter in enumerate(text):
            if letter.isalnum():
                changed = (
                    str((int(letter) + 1) % 10)
                    if letter.isdigit()
                    else ("x" if letter != "x" else "y")
                )
                return text[:at] + changed + text[at + 1 :]
        return text + "."

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        changed = False
        async for event in events:
            if not changed and event.kind == "text" and _text_of(event).strip():
                event, changed = _with_text(event, self._flip(_text_of(event))), True
            elif not changed and event.kind == "tool" and event.document is not None:
                text = json.dumps(event.document)
                function = event.document["choices"][0]["delta"]["tool_calls"][0]["function"]
                if function.get("arguments", "").strip('{}[]", '):
                    raw = json.dumps(function["arguments"])
                    text, changed = (
                        text.replace(raw, json.dumps(self._flip(function["arguments"]))),
                        True,
                    )
                    event = replace(event, document=json.loads(text))
            yield write_event(event)

    def document(self, document: Mapping[str, Any]) -> bytes:
        changed = json.loads(json.dumps(document))
        choice = changed["choices"][0]
        message = choice.get("message")
        if message is None:
            choice["text"] = self._flip(choice["text"])
        elif message.get("tool_calls"):
            function = message["tool_calls"][0]["function"]
            function["name"] = self._flip(function["name"])
        else:
            message["content"] = self._flip(message["content"])
        return write_document(changed)


class SignOtherRequest(Honest):
    mode = "sign-other-request"
    says = "signs the hash of another request than the one it was sent (attack 2)"

    def signed_request(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if "prompt" in body:
            return {**body, "prompt": "another prompt"}
        return {**body, "messages": [{"role": "user", "content": "another prompt"}]}


class ForeignKey(Honest):
    mode = "foreign-key"
    says = "signs with the key of another registered host (attack 3)"

    def signer(self, host: Host) -> Signer:
        return host.other_signer()


class UnregisteredKey(Honest):
    mode = "unregistered-key"
    says = "signs with a key that is in no registry (attack 4)"

    def signer(self, host: Host) -> Signer:
        return host.unregistered_signer()


class BorrowedName(Honest):
    mode = "borrowed-name"
    says = "signs with a key that is in no registry, and names its own registered tee_id (attack 3)"

    def signer(self, host: Host) -> Signer:
        return replace(host.unregistered_signer(), tee_id=host.signer.tee_id)


class StaleTime(Honest):
    mode = "stale-time"
    says = "signs a time 4,000 seconds ago (attack 12)"

    def timestamp(self, now: int) -> int:
        return now - 4000


class FutureTime(Honest):
    mode = "future-time"
    says = "signs a time 700 seconds ahead (attack 12)"

    def timestamp(self, now: int) -> int:
        return now + 700


class TextTime(Honest):
    mode = "text-time"
    says = "gives the signed time as text instead of a number (attack 13)"

    def proof(self, proof: dict[str, Any]) -> dict[str, Any]:
        return {**proof, "tee_timestamp": str(proof["tee_timestamp"])}


class JunkSignature(Honest):
    mode = "junk-signature"
    says = "puts white space into the base64 of its signature (attack 15)"

    def proof(self, proof: dict[str, Any]) -> dict[str, Any]:
        signature = str(proof["tee_signature"])
        return {**proof, "tee_signature": signature[:40] + "\n" + signature[40:]}


class UnsignedStream(Honest):
    mode = "unsigned-stream"
    says = "answers completely, and signs nothing (attack 10)"

    def proof(self, proof: dict[str, Any]) -> dict[str, Any]:
        return {}


class Replay(Honest):
    mode = "replay"
    says = "gives the same old answer again, signature and all (attack 14)"

    def __init__(self) -> None:
        self._stream: list[bytes] = []
        self._document: bytes | None = None

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        fresh = not self._stream
        async for event in events:
            if fresh:
                self._stream.append(write_event(event))
                yield self._stream[-1]
        if not fresh:
            for old in self._stream:
                yield old

    def document(self, document: Mapping[str, Any]) -> bytes:
        self._document = self._document or write_document(document)
        return self._document


class ScriptOutput(Honest):
    mode = "script-output"
    says = "lets the model answer with scripts, terminal escapes and a forged badge, correctly signed (attack 27)"

    def reply(self, reply: Reply) -> Reply:
        return replace(reply, pieces=tuple(split_tokens(HOSTILE_TEXT)), tool_calls=())


# ---------------------------------------------------------------------------- how the stream is cut


class CutStream(Honest):
    mode = "cut-stream"
    says = "closes the connection before the final frame (attack 9)"

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        sent = 0
        async for event in events:
            if event.kind in ("final", "done") or sent >= 5:
                raise CutOff
            yield write_event(event)
            sent += 1

    def document(self, document: Mapping[str, Any]) -> bytes:
        raise CutOff


class QuietCut(Honest):
    mode = "quiet-cut"
    says = "ends the stream cleanly before the final frame, as if nothing were missing (attack 9)"

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        async for event in events:
            if event.kind not in ("final", "done"):
                yield write_event(event)

    def document(self, document: Mapping[str, Any]) -> bytes:
        return write_document(document)[:-40]


class ErrorMidStream(Honest):
    mode = "error-mid-stream"
    says = "reports a failure of its own in the middle of the stream (attack 9); nothing is charged"

    async def before_answer(self, host: Host, request: web.Request) -> web.StreamResponse | None:
        return None if await host.wants_stream(request) else host.failure()

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        sent = 0
        async for event in events:
            if sent >= 3 or event.kind == "final":
                break
            yield write_event(event)
            sent += 1
        yield write_event(Event("error", {"error": "Stream processing failed"}))


class TwoFinals(Honest):
    mode = "two-finals"
    says = "sends two final frames (attack 11)"

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        async for event in events:
            yield write_event(event)
            if event.kind == "final":
                yield write_event(event)

    def document(self, document: Mapping[str, Any]) -> bytes:
        return write_document(document) * 2


class TextAfterFinal(Honest):
    mode = "text-after-final"
    says = "sends more text after the final frame (attack 11)"

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        async for event in events:
            yield write_event(event)
            if event.kind == "final":
                delta = {"content": " And one thing more.", "role": "assistant"}
                choice = {"delta": delta, "index": 0, "finish_reason": None}
                yield write_event(
                    Event(
                        "text", {"choices": [choice], "model": (event.document or {}).get("model")}
                    )
                )

    def document(self, document: Mapping[str, Any]) -> bytes:
        return write_document(document) + b"And one thing more.\n"


class CorruptLine(Honest):
    mode = "corrupt-line"
    says = "sends a line of broken JSON in the middle of the stream (attack 11)"

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        sent = 0
        async for event in events:
            if sent == 2 or (event.kind == "final" and sent < 2):
                yield b'data: {"choices": [{"delta": {"content": "\n\n'
            sent += 1
            yield write_event(event)

    def document(self, document: Mapping[str, Any]) -> bytes:
        return write_document(document).replace(b'"choices": [', b'"choices": [[', 1)


class DuplicateJson(Honest):
    mode = "duplicate-json"
    says = "writes a key of the answer twice, with two values (attack 16)"

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        done = False
        async for event in events:
            raw = write_event(event)
            if not done and event.kind in ("text", "final"):
                raw = raw.replace(b'"delta": {', b'"delta": {"content": "A lie. ", ', 1)
                if event.kind == "final":
                    raw = raw.replace(b'"delta": {', b'"delta": {"content": "", ', 1)
                done = True
            yield raw

    def document(self, document: Mapping[str, Any]) -> bytes:
        return write_document(document).replace(b'"model":', b'"model": "another",\n  "model":', 1)


# ------------------------------------------------------------------------------------------ payment


class Reprice(Honest):
    mode = "reprice"
    says = "asks for ten times the price once a payment is on its way (attack 21)"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "amount": str(int(offer["amount"]) * 10)} if paying else offer


class OverCap(Honest):
    mode = "over-cap"
    says = "asks for a cap of 1,000 OPG (attack 21)"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "amount": str(1000 * 10**18)}


class OtherPayee(Honest):
    mode = "other-payee"
    says = "asks to pay an address that is not the registered one (attack 21)"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "payTo": STRANGER}


class OtherAsset(Honest):
    mode = "other-asset"
    says = "asks to be paid in another token (attack 21)"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {
            **offer,
            "asset": USDC,
            "extra": {**offer["extra"], "name": "USD Coin", "version": "2"},
        }


class OtherNetwork(Honest):
    mode = "other-network"
    says = "asks to be paid on another chain (attack 21)"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "network": "eip155:1"}


class OtherFacilitator(Honest):
    mode = "other-facilitator"
    says = "names a stranger who may settle (attack 21)"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "extra": {**offer["extra"], "facilitatorAddress": STRANGER}}


class OtherSpender(Honest):
    mode = "other-spender"
    says = "names another contract that should draw the tokens (attack 21)"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "extra": {**offer["extra"], "spender": STRANGER}}


class OtherScheme(Honest):
    mode = "other-scheme"
    says = "offers the scheme “exact” instead of “upto” (attack 21)"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "scheme": "exact"}


class LongDeadline(Honest):
    mode = "long-deadline"
    says = "asks for a payment that stays valid for thirty days (attack 21)"

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        return {**offer, "maxTimeoutSeconds": 30 * 86400}


class ExpiredSession(Honest):
    mode = "expired-session"
    says = "says of every session that it has expired"
    keeps_sessions = False


class Hang(Honest):
    mode = "hang"
    says = "takes the payment header and never answers (attack 22); nothing is charged"

    async def before_answer(self, host: Host, request: web.Request) -> web.StreamResponse | None:
        await host.released.wait()
        return host.failure()


class TakeAndHang(Hang):
    mode = "take-and-hang"
    says = "takes the payment, charges for an answer, and never gives it (attack 22)"
    takes_first = True


# --------------------------------------------------------------------------------------- settlement


class SettleTooMuch(Honest):
    mode = "settle-too-much"
    says = "charges ten times what the calls cost, up to the signed cap (attack 23)"

    async def settle(
        self, facilitator: Facilitator, payment: SignedPayment, amount: int
    ) -> str | None:
        return await facilitator.settle(payment, min(10 * amount, payment.authorisation.cap))


class SettleOtherPayee(Honest):
    mode = "settle-other-payee"
    says = "lets a stranger have the payment, through a contract that is not what it should be (attack 23)"

    async def settle(
        self, facilitator: Facilitator, payment: SignedPayment, amount: int
    ) -> str | None:
        return await facilitator.settle(payment, amount, crooked=True)


class NeverSettle(Honest):
    mode = "never-settle"
    says = "settles nothing: neither the payment nor the answer's hashes are ever found on a chain (attacks 23 and 24)"
    manner = "never"

    async def settle(
        self, facilitator: Facilitator, payment: SignedPayment, amount: int
    ) -> str | None:
        return None


class DoubleNonce(Honest):
    mode = "double-nonce"
    says = "calls every session expired, and charges each call to all authorisations that it was given (attack 23)"
    keeps_sessions = False

    def charged(self, host: Host, session: Session) -> list[Session]:
        return host.sessions.open


class BatchOmitLeaf(Honest):
    mode = "batch-omit-leaf"
    says = "commits a batch without the answer's leaf (attack 24)"
    manner = "omit-leaf"


class BatchWrongRoot(Honest):
    mode = "batch-wrong-root"
    says = "commits another root than that of the batch it publishes (attack 24)"
    manner = "wrong-root"


class BatchForeignRelay(Honest):
    mode = "batch-foreign-relay"
    says = "commits its batch to a contract that is not the settlement relay (attack 24)"
    manner = "foreign-relay"


class BatchOtherSender(Honest):
    mode = "batch-other-sender"
    says = "has its batch committed by a stranger: the relay is open to anyone (attack 24)"
    manner = "other-sender"


# ----------------------------------------------------------------------------------- the connection


class WrongCertificate(Honest):
    mode = "wrong-certificate"
    says = "presents a TLS certificate that is not the registered one (attack 19)"
    certificate = "foreign"


class IssuedCertificate(Honest):
    mode = "issued-certificate"
    says = "presents a TLS certificate issued by its registered one (attack 19)"
    certificate = "issued"


class Redirect(Honest):
    mode = "redirect"
    says = "answers prompts with a redirect to another address (attack 19)"

    def intercept(self, host: Host, request: web.Request) -> web.StreamResponse | None:
        return host.redirect(request)


class Http500(Honest):
    mode = "http-500"
    says = "fails with HTTP 500 after the payment header; nothing is charged"

    async def before_answer(self, host: Host, request: web.Request) -> web.StreamResponse | None:
        return host.failure()


class Slow(Honest):
    mode = "slow"
    says = "takes half a second for each token"
    pause = 0.5


# -------------------------------------------------------------------------------------- attestation


class DebugPcrs(Honest):
    mode = "debug-pcrs"
    says = "attests an enclave in debug mode: PCR0 to PCR2 are zero (attack 18)"

    def attestation(self, host: Host, nonce: bytes) -> bytes | None:
        return host.attest(nonce, pcrs={})


class WrongNonce(Honest):
    mode = "wrong-nonce"
    says = "gives an old attestation, made for another nonce (attack 18)"

    def attestation(self, host: Host, nonce: bytes) -> bytes | None:
        return host.attest(bytes(20))


class NoAttestation(Honest):
    mode = "no-attestation"
    says = "has no attestation to give (attack 18)"

    def attestation(self, host: Host, nonce: bytes) -> bytes | None:
        return None


class ForeignRoot(Honest):
    mode = "foreign-root"
    says = "attests under a root of its own making (attack 18)"

    def attestation(self, host: Host, nonce: bytes) -> bytes | None:
        return host.attest(nonce, authority=host.foreign_authority())


class ExpiredAttestation(Honest):
    mode = "expired-attestation"
    says = "attests with a certificate that had ended before the document's time (attack 18)"

    def attestation(self, host: Host, nonce: bytes) -> bytes | None:
        return host.attest(nonce, expired=True)


class UnsetKeyHash(Honest):
    mode = "unset-key-hash"
    says = "attests without having set its signing key (attack 18)"

    def attestation(self, host: Host, nonce: bytes) -> bytes | None:
        return host.attest(nonce, signing_key_der=None)


class OtherKeyHash(Honest):
    mode = "other-key-hash"
    says = "attests another host's signing key (attack 18)"

    def attestation(self, host: Host, nonce: bytes) -> bytes | None:
        return host.attest(nonce, signing_key_der=host.other_signer().der)


class OtherCertificateHash(Honest):
    mode = "other-certificate-hash"
    says = "attests another TLS certificate (attack 18)"

    def attestation(self, host: Host, nonce: bytes) -> bytes | None:
        return host.attest(nonce, tls_certificate_der=host.foreign_certificate_der())


class TrailingBytes(Honest):
    mode = "trailing-bytes"
    says = "puts bytes behind its attestation document (attack 18)"

    def attestation(self, host: Host, nonce: bytes) -> bytes | None:
        return host.attest(nonce, trailing=b"\x00\x01\x02")


class DuplicateCbor(Honest):
    mode = "duplicate-cbor"
    says = "writes a field of its attestation document twice (attack 18)"

    def attestation(self, host: Host, nonce: bytes) -> bytes | None:
        return host.attest(nonce, duplicate_key="user_data")


_CHEATS: tuple[type[Honest], ...] = (
    ChangeByte,
    SignOtherRequest,
    ForeignKey,
    UnregisteredKey,
    BorrowedName,
    StaleTime,
    FutureTime,
    TextTime,
    JunkSignature,
    UnsignedStream,
    Replay,
    ScriptOutput,
    CutStream,
    QuietCut,
    ErrorMidStream,
    TwoFinals,
    TextAfterFinal,
    CorruptLine,
    DuplicateJson,
    Reprice,
    OverCap,
    OtherPayee,
    OtherAsset,
    OtherNetwork,
    OtherFacilitator,
    OtherSpender,
    OtherScheme,
    LongDeadline,
    ExpiredSession,
    Hang,
    TakeAndHang,
    SettleTooMuch,
    SettleOtherPayee,
    NeverSettle,
    DoubleNonce,
    BatchOmitLeaf,
    BatchWrongRoot,
    BatchForeignRelay,
    BatchOtherSender,
    WrongCertificate,
    IssuedCertificate,
    Redirect,
    Http500,
    Slow,
    DebugPcrs,
    WrongNonce,
    NoAttestation,
    ForeignRoot,
    ExpiredAttestation,
    UnsetKeyHash,
    OtherKeyHash,
    OtherCertificateHash,
    TrailingBytes,
    DuplicateCbor,
)
MODES: dict[str, type[Honest]] = {mode.mode: mode for mode in (*_CHEATS, *faults.FAULTS)}


def make(mode: str) -> Honest:
    """A fresh cheat by name; ``off`` is honest.  SimnetError with the nearest names if there is
    none of that name."""
    if mode == Honest.mode:
        return Honest()
    cheat = MODES.get(mode)
    if cheat is None:
        import difflib

        near = difflib.get_close_matches(mode, MODES, n=3, cutoff=0.4)
        hint = f"Did you mean: {', '.join(near)}?" if near else "See: opg simnet cheats"
        raise SimnetError(f"there is no cheat “{mode}”", hint=hint)
    return cheat()
