"""Lies in what is signed: the text, the request, the key, the time, the signature."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from opg_magic.simnet.host.conduct import (
    Enclave,
    Event,
    Honest,
    write_document,
    write_event,
)
from opg_magic.simnet.host.identity import Signer
from opg_magic.simnet.model.interface import Reply
from opg_magic.simnet.model.tokens import split_tokens

if TYPE_CHECKING:
    pass

#: Model output that tries everything a display could fall for.
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


class ChangeByte(Honest):
    mode = "change-byte"
    says = "changes one letter of the answer after signing it"

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
    says = "signs the hash of another request than the one it was sent"

    def signed_request(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if "prompt" in body:
            return {**body, "prompt": "another prompt"}
        return {**body, "messages": [{"role": "user", "content": "another prompt"}]}


class ForeignKey(Honest):
    mode = "foreign-key"
    says = "signs with the key of another registered host"

    def signer(self, host: Enclave) -> Signer:
        return host.other_signer()


class UnregisteredKey(Honest):
    mode = "unregistered-key"
    says = "signs with a key that is in no registry"

    def signer(self, host: Enclave) -> Signer:
        return host.unregistered_signer()


class BorrowedName(Honest):
    mode = "borrowed-name"
    says = "signs with a key that is in no registry, and names its own registered tee_id"

    def signer(self, host: Enclave) -> Signer:
        return replace(host.unregistered_signer(), tee_id=host.signer.tee_id)


class StaleTime(Honest):
    mode = "stale-time"
    says = "signs a time 4,000 seconds ago"

    def timestamp(self, now: int) -> int:
        return now - 4000


class FutureTime(Honest):
    mode = "future-time"
    says = "signs a time 700 seconds ahead"

    def timestamp(self, now: int) -> int:
        return now + 700


class TextTime(Honest):
    mode = "text-time"
    says = "gives the signed time as text instead of a number"

    def proof(self, proof: dict[str, Any]) -> dict[str, Any]:
        return {**proof, "tee_timestamp": str(proof["tee_timestamp"])}


class JunkSignature(Honest):
    mode = "junk-signature"
    says = "puts white space into the base64 of its signature"

    def proof(self, proof: dict[str, Any]) -> dict[str, Any]:
        signature = str(proof["tee_signature"])
        return {**proof, "tee_signature": signature[:40] + "\n" + signature[40:]}


class UnsignedStream(Honest):
    mode = "unsigned-stream"
    says = "answers completely, and signs nothing"

    def proof(self, proof: dict[str, Any]) -> dict[str, Any]:
        return {}


class Replay(Honest):
    mode = "replay"
    says = "gives the same old answer again, signature and all"

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
    says = (
        "lets the model answer with scripts, terminal escapes and a forged badge, correctly signed"
    )

    def reply(self, reply: Reply) -> Reply:
        return replace(reply, pieces=tuple(split_tokens(HOSTILE_TEXT)), tool_calls=())


class HalfSwapped(Honest):
    mode = "half-swapped"
    says = "gives half of the questions to a weaker model under the same name, correctly signed"
    #: Which half: drawn by chance, the same chance each time.
    seed = 1

    def __init__(self) -> None:
        self._chance = Random(self.seed)

    def reply(self, reply: Reply) -> Reply:
        if self._chance.random() < 0.5:
            return reply
        return replace(reply, pieces=tuple(split_tokens("Perhaps 41")))
