"""How an honest host behaves: the steps of an answer that a mode of
:mod:`opg_magic.simnet.cheats` changes, and what they see of the host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from opg_magic.simnet.model.interface import Reply, Usage

if TYPE_CHECKING:
    from aiohttp import web

    from opg_magic.simnet.host.identity import Signer
    from opg_magic.simnet.host.nitro import Authority
    from opg_magic.simnet.payment.facilitator import Facilitator, SignedPayment
    from opg_magic.simnet.payment.sessions import Session, Sessions
    from opg_magic.simnet.settlement.relay import Manner


class CutOff(Exception):
    """The host closes the connection here, in the middle of an answer."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream before it is written: what it is, and its JSON object (None for the end
    marker)."""

    kind: Literal["text", "tool", "final", "done", "error"]
    document: Mapping[str, Any] | None


def write_event(event: Event) -> bytes:
    """The bytes of one event, as recorded: Python's default JSON separators, ``data: [DONE]`` at
    the end."""
    text = "[DONE]" if event.document is None else json.dumps(event.document)
    return f"data: {text}\n\n".encode()


def write_document(document: Mapping[str, Any]) -> bytes:
    """The bytes of an answer that is not streamed, as recorded: indented by two, keys sorted, a
    newline at the end."""
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


class Enclave(Protocol):
    """What a step sees of the host that takes it."""

    #: How the host behaves now.
    cheat: Honest
    #: Set when that changes, and at the host's end: what hangs may go on.
    released: asyncio.Event
    signer: Signer
    sessions: Sessions

    def attest(
        self,
        nonce: bytes | None,
        *,
        authority: Authority | None = None,
        pcrs: Mapping[int, bytes] | None = None,
        **overrides: Any,
    ) -> bytes:
        """The attestation document for a nonce; ``overrides`` go to
        :meth:`~opg_magic.simnet.host.nitro.Authority.document`."""
        ...

    def foreign_authority(self) -> Authority:
        """An attestation root that nobody trusts."""
        ...

    def other_signer(self) -> Signer:
        """Another registered host's key."""
        ...

    def unregistered_signer(self) -> Signer:
        """A key that no registry lists."""
        ...

    def foreign_certificate_der(self) -> bytes:
        """A TLS certificate that no registry lists."""
        ...

    def redirect(self, request: web.Request) -> web.Response:
        """A redirect to another host's same path."""
        ...


class Honest:
    """A host that does not lie.  Every step of an answer that some mode changes is one method
    here."""

    mode: ClassVar[str] = "off"
    says: ClassVar[str] = "answers honestly"
    #: Which certificate the TLS side presents.
    certificate: ClassVar[Literal["registered", "foreign", "issued"]] = "registered"
    #: Seconds to wait before each token, beside the model's own pace.
    pause: float = 0.0
    #: Whose weights answer: the model's own, or others under its name.
    weights: ClassVar[Literal["own", "another", "coarser"]] = "own"
    #: Whether sessions are honoured.
    keeps_sessions: ClassVar[bool] = True
    #: Whether the model provider, the facilitator, and the gateway behind its TLS front can be
    #: reached.
    provider_up: ClassVar[bool] = True
    facilitator_up: ClassVar[bool] = True
    gateway_up: ClassVar[bool] = True
    #: Whether an answered call is paid for before the handler goes on (a host that takes and never
    #: answers).
    takes_first: ClassVar[bool] = False
    #: How its answers' hashes are put on record.
    manner: ClassVar[Manner] = "honest"

    def intercept(self, host: Enclave, request: web.Request) -> web.StreamResponse | None:
        """Answer instead of everything else, before any payment."""
        return None

    async def before_answer(self, host: Enclave, request: web.Request) -> web.StreamResponse | None:
        """Answer instead of the model, after the payment was accepted."""
        return None

    def offer(self, offer: dict[str, Any], *, paying: bool) -> dict[str, Any]:
        """The terms of a 402; ``paying`` where the request already carries a payment."""
        return offer

    def attestation(self, host: Enclave, nonce: bytes) -> bytes | None:
        """The attestation document; None: there is none to be had."""
        return host.attest(nonce)

    def asked(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The request as the model gets it, whatever is signed."""
        return body

    def reply(self, reply: Reply) -> Reply:
        """What the model said, before it is signed."""
        return reply

    def signed_request(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The request whose hash is signed."""
        return body

    def signer(self, host: Enclave) -> Signer:
        """Whose key signs, and whose ``tee_id`` is named."""
        return host.signer

    def timestamp(self, now: int) -> int:
        """The signed time."""
        return now

    def proof(self, proof: dict[str, Any]) -> dict[str, Any]:
        """The five signed fields as they go into the answer."""
        return proof

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        """A stream's events to bytes.  CutOff closes the connection."""
        async for event in events:
            yield write_event(event)

    def document(self, document: Mapping[str, Any]) -> bytes:
        """An answer that is not streamed, to bytes."""
        return write_document(document)

    def envelope(self, status: int, answer: bytes) -> bytes:
        """What is sealed of an answer that is not streamed: itself, or an error with its status."""
        if status == 200:
            return answer
        try:
            body = json.loads(answer)
        except ValueError:
            body = {"error": "Request processing failed"}
        return json.dumps({"status": status, "body": body}).encode()

    def usage(self, usage: Usage) -> Usage | None:
        """The tokens as the provider counted them; None: it did not say, so that nothing can be
        charged."""
        return usage

    def charged(self, host: Enclave, session: Session) -> list[Session]:
        """The sessions that a call is charged to."""
        return [session]

    async def settle(
        self, facilitator: Facilitator, payment: SignedPayment, amount: int
    ) -> str | None:
        """Charge a session's sum on the payment chain; the transaction's hash, None: it was not
        charged."""
        return await facilitator.settle(payment, amount)


async def pause(seconds: float) -> None:
    """Wait, if there is anything to wait for."""
    if seconds > 0:
        await asyncio.sleep(seconds)
