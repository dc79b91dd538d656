"""Reads the body of a response as it comes: an answer, an error, or a fragment of either."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from opg_magic.errors import MalformedMessage
from opg_magic.models import Kind, Problem, ResponseEvidence
from opg_magic.models.secret import Secret
from opg_magic.network.exchange import (
    PAYMENT_REQUIRED,
    ExchangeState,
    reason_in,
    shown_reason,
    without_answer,
)
from opg_magic.protocol.reply import read_reply
from opg_magic.protocol.sse import MAX_STREAM_BYTES, StreamReader
from opg_magic.protocol.x402 import parse_payment_required

#: The most that is read where no answer is expected: errors, health, attestation.  Real attestation
#: documents have 6 kB of base64.
MAX_SMALL_BODY = 128 * 1024
_log = logging.getLogger(__name__)


class BodyReader:
    """Takes the bytes of one response's body and reads evidence from them."""

    def __init__(
        self,
        stream: bool,
        kind: Kind,
        on_text: Callable[[str, int], None] | None,
        limit: int | None = None,
    ) -> None:
        """``on_text`` gets all text so far and the count of text pieces.  ``limit``: the most bytes
        that are read."""
        self.limit = MAX_STREAM_BYTES if limit is None else limit
        self._stream = stream
        self.kind = kind
        self._on_text = on_text
        self._reader: StreamReader | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._text = ""
        self._pieces = 0

    def begin(self, status: int) -> None:
        """Prepare for the body of a response with this status."""
        if status == 200 and self._stream:
            self._reader = StreamReader()
        elif status != 200:
            self.limit = min(self.limit, MAX_SMALL_BODY)

    def feed(self, part: bytes) -> bool:
        """Take some bytes; return False if there are more than will be read."""
        self._size += len(part)
        if self._size > self.limit:
            return False
        if self._reader is None:
            self._parts.append(part)
            return True
        deltas = self._reader.feed(part)
        if deltas:
            self._text += "".join(deltas)
            self._pieces += len(deltas)
            self._show()
        return True

    def _show(self) -> None:
        if self._on_text is None:
            return
        try:
            self._on_text(self._text, self._pieces)
        except Exception:
            # A display that breaks must not lose an answer that is being paid for.
            self._on_text = None
            _log.warning(
                "The display of a running answer failed; the call goes on.",
                exc_info=True,
            )

    @property
    def is_untouched(self) -> bool:
        """Whether no byte has come yet."""
        return self._size == 0

    def raw(self) -> bytes:
        """Return the body as it came; empty for a stream."""
        return b"".join(self._parts)

    def evidence(self, state: ExchangeState, secrets: list[Secret[str]]) -> ResponseEvidence:
        """Return what the body says, or the problem that there is with it; never a secret."""
        status = state.status
        if status is not None and status != 200:
            message = (
                f"the host answered {status}: {_host_reason(state.headers, self.raw(), secrets)}"
            )
            return self._fragment(Problem("http-status", message))
        if self._reader is not None:
            evidence = self._reader.finish(ended=state.body_ended)
        elif self._stream or status is None:
            evidence = self._fragment(
                Problem("truncated", "the connection ended before an answer began")
            )
        else:
            evidence = read_reply(self.raw(), self.kind, ended=state.body_ended)
        # How the exchange ended explains an incomplete answer better than where its text breaks
        # off.
        if state.problem is not None and (
            evidence.problem is None or evidence.problem.code == "truncated"
        ):
            evidence = replace(evidence, problem=state.problem)
        return evidence

    def _fragment(self, problem: Problem) -> ResponseEvidence:
        return without_answer(self._stream, self.raw(), problem)


def _host_reason(headers: Mapping[str, str], raw: bytes, secrets: list[Secret[str]]) -> str:
    """What the host says about its failure: short, without control characters or our secrets."""
    reason: object = None
    header = headers.get(PAYMENT_REQUIRED.lower())
    if header is not None:
        with contextlib.suppress(MalformedMessage):
            reason = parse_payment_required(header).error
    return shown_reason(reason or reason_in(raw, "error", "detail", "title"), secrets)
