"""Reads a sealed answer as it comes: opens it, and hands what opened to the reader of plain ones.

Whatever a relay does to an answer ends as a problem of the evidence, so that no check can pass over
it: bytes that do not open in their place, an end that is missing, an error outside or inside the
seal, a status that lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from opg_magic.errors import MalformedMessage
from opg_magic.models import Kind, Problem, ResponseEvidence, strict_json
from opg_magic.models.secret import Secret
from opg_magic.network.body_reader import MAX_SMALL_BODY, BodyReader
from opg_magic.network.exchange import (
    ExchangeState,
    reason_in,
    shown_reason,
    without_answer,
)
from opg_magic.protocol import ohttp

_FORMS = {ohttp.RESPONSE_TYPE: False, ohttp.CHUNKED_TYPE: True}


class SealedReader:
    """Takes the bytes of a relay's response; a :class:`opg_magic.network.carrying.Sink`."""

    def __init__(
        self,
        request: ohttp.SealedRequest,
        state: ExchangeState,
        *,
        stream: bool,
        kind: Kind,
        on_text: Callable[[str, int], None] | None,
    ) -> None:
        """``state`` is that of the exchange: the response's head says in which form it is
        sealed."""
        self.limit = ohttp.MAX_SEALED
        self._request = request
        self._state = state
        self._stream = stream
        self._plain = BodyReader(stream, kind, on_text)
        self._opener: ohttp.SingleOpener | ohttp.ChunkedOpener | None = None
        self._outside = bytearray()
        #: What opened and is no stream: an answer or an error, as JSON.
        self._json: bytearray | None = None
        self._problem: Problem | None = None

    def begin(self, status: int) -> None:
        """Prepare for the body of a response with this status."""
        if status != 200:
            self.limit = MAX_SMALL_BODY
            return
        told = self._state.headers.get("content-type", "").partition(";")[0].strip().lower()
        if told == "application/json":
            # Sealed answers never call themselves so: an error outside the seal.
            self.limit = MAX_SMALL_BODY
            return
        chunked = _FORMS.get(told, self._stream)
        if chunked and not self._stream:
            self._problem = Problem("framing", "the relay streamed an answer that was asked whole")
            return
        self._opener = (ohttp.ChunkedOpener if chunked else ohttp.SingleOpener)(self._request)
        if chunked:
            self._plain.begin(200)
        else:
            self._json = bytearray()

    def feed(self, part: bytes) -> bool:
        """Take some bytes; return False if no more will be read."""
        if self._problem is not None:
            return False
        if self._opener is None:
            self._outside += part
            return len(self._outside) <= self.limit
        try:
            pieces = self._opener.feed(part)
        except MalformedMessage as refused:
            self._refuse(refused)
            return False
        return all(self._take(piece) for piece in pieces)

    def _take(self, piece: bytes) -> bool:
        if self._json is None and self._plain.is_untouched and piece.lstrip()[:1] == b"{":
            # No event begins so: an error in place of a stream.
            self._json = bytearray()
        if self._json is None:
            return self._plain.feed(piece)
        self._json += piece
        return True

    def _refuse(self, refused: MalformedMessage) -> None:
        code = refused.code if refused.code in ("truncated", "too-large") else "framing"
        self._problem = Problem(code, refused.message)

    def evidence(self, state: ExchangeState, secrets: list[Secret[str]]) -> ResponseEvidence:
        """Return what the answer says, or the problem that there is with it; never a secret.

        ``state`` learns whether it could not be opened."""
        if self._opener is None:
            state.unopened = True
            return self._from_outside(state, secrets)
        if state.body_ended and self._problem is None:
            try:
                for piece in self._opener.finish():
                    self._take(piece)
            except MalformedMessage as refused:
                self._refuse(refused)
        state.unopened = self._problem is not None
        if self._json is not None:
            return self._from_json(state, secrets)
        found = self._plain.evidence(state, secrets)
        return found if self._problem is None else replace(found, problem=self._problem)

    def _from_outside(self, state: ExchangeState, secrets: list[Secret[str]]) -> ResponseEvidence:
        if self._problem is not None:
            return self._nothing(self._problem)
        if state.status is None:
            ended = Problem("truncated", "the connection ended before an answer began")
            return self._nothing(state.problem or ended)
        reason = _reason(bytes(self._outside), secrets)
        if state.status != 200:
            message = f"the relay answered {state.status}: {reason}"
            return self._nothing(Problem("http-status", message))
        return self._nothing(Problem("framing", f"the relay answered without a seal: {reason}"))

    def _from_json(self, state: ExchangeState, secrets: list[Secret[str]]) -> ResponseEvidence:
        assert self._json is not None
        if self._problem is not None or not state.body_ended:
            cut = Problem("truncated", "the sealed answer was cut before its end")
            return self._nothing(self._problem or state.problem or cut)
        status, body = _unwrapped(bytes(self._json))
        if status != 200:
            message = f"the host answered {status}: {_reason(body, secrets)}"
            return self._nothing(Problem("http-status", message))
        whole = BodyReader(False, self._plain.kind, None)
        whole.feed(body)
        found = whole.evidence(state, secrets)
        host_failed = found.problem is not None and found.problem.code == "host-failure"
        if self._stream and not host_failed:
            return self._nothing(
                Problem("framing", "the answer came in one piece although it was asked streamed")
            )
        return replace(found, stream=self._stream)

    def _nothing(self, problem: Problem) -> ResponseEvidence:
        """Evidence without an answer, by the digest of what is at hand."""
        raw = bytes(self._outside if self._json is None else self._json)
        return without_answer(self._stream, raw, problem)


def _unwrapped(raw: bytes) -> tuple[int, bytes]:
    """Status and JSON of what was sealed: the bare answer, or ``{"status": n, "body": {…}}``.

    A body in an envelope is written anew, its values as they were."""
    try:
        message = strict_json.loads(raw)
    except MalformedMessage:
        return 200, raw  # the reader of answers says what is wrong with it
    if not isinstance(message, dict) or set(message) != {"status", "body"}:
        return 200, raw
    status, body = message["status"], message["body"]
    if type(status) is not int or not isinstance(body, dict):
        return 200, raw
    return status, strict_json.dumps_python(body).encode()


def _reason(raw: bytes, secrets: list[Secret[str]]) -> str:
    return shown_reason(reason_in(raw, "detail", "error"), secrets)
