"""One exchange with a host as data: what was sent, what came back, and how it ended.

Secrets (payment signature, session ID) are revealed only inside the coroutine that writes them.  No
exception leaves with frames of httpx or httpcore in its traceback, because their locals hold the
request's headers."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opg_magic.errors import ChannelRefused, HostUnavailable, MalformedMessage, OpgError
from opg_magic.models import Problem, ResponseEvidence, strict_json
from opg_magic.models.secret import Secret

if TYPE_CHECKING:
    import httpx

PAYMENT_SIGNATURE = "PAYMENT-SIGNATURE"
PAYMENT_REQUIRED = "PAYMENT-REQUIRED"
SESSION = "X-Upto-Session"
SETTLEMENT_TYPE = "X-SETTLEMENT-TYPE"

#: Response headers that may be kept; all others are dropped, the session ID first of all.
_KEPT_HEADERS = frozenset(
    {
        "date",
        "server",
        "content-type",
        "payment-required",
        "payment-response",
        "retry-after",
        "x-settlement-tx-hash",
        "x-settlement-walrus-blob-id",
    }
)
#: What a session ID may be (real ones are UUIDs).  A shorter one could be guessed, and would stand
#: in many a text.
_SESSION_ID = re.compile(r"[A-Za-z0-9._~+/=-]{16,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RawExchange:
    """One exchange as it ended, well or not.

    ``status`` is None if no response began.  ``header_sent``: bytes of the request, and so its
    payment header, may have left this machine; if False, nothing can be charged.  ``complete``: the
    body was read to its end.  Times are this machine's: ``sent_at`` just before the first byte,
    ``received_at`` after the last.  ``headers`` has lower-case names and never a secret."""

    status: int | None
    headers: Mapping[str, str]
    response: ResponseEvidence
    session: Secret[str] | None
    sent_at: datetime
    received_at: datetime
    header_sent: bool
    complete: bool
    server_date: datetime | None = None
    #: The host sent a malformed session ID.  The answer counts; no later call joins that session.
    session_refused: bool = False
    #: What came did not open, or came outside its seal: whoever carried it may be why.
    unopened: bool = False


class SendFailed(HostUnavailable):
    """Nothing was sent: no connection, or it broke before the request began.  Another host may be
    tried."""


class NoSealingKey(ChannelRefused):
    """Nothing can be sealed to this host: the registry lists no key for it that can be used.  That
    may change, and is no lie of the host's."""


class RelayUnavailable(SendFailed):
    """Nothing was sent, because the relay could not be reached: so it is for every host."""


class SendCancelled(asyncio.CancelledError):
    """The exchange was cancelled; ``exchange`` holds all that is known of it."""

    def __init__(self, exchange: RawExchange) -> None:
        super().__init__("the exchange was cancelled")
        self.exchange = exchange


@dataclass(slots=True)
class ExchangeState:
    """What is known of a running exchange: filled as it goes, read when it has ended, however it
    ended."""

    sent_at: datetime | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    session: Secret[str] | None = None
    session_refused: bool = False
    body_ended: bool = False
    problem: Problem | None = None
    unopened: bool = False

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore's trace hook: notes the moment before the first byte of the request is written.

        A proxy is asked for a tunnel in another request, which holds nothing of this one."""
        if event.endswith("send_request_headers.started") and self.sent_at is None:
            if info["request"].method == b"CONNECT":
                return
            self.sent_at = datetime.now(UTC)


def secrets_of(headers: Mapping[str, str | Secret[str]]) -> list[Secret[str]]:
    """Return the secrets among these header values."""
    return [value for value in headers.values() if isinstance(value, Secret)]


def session_id_of(response: httpx.Response) -> Secret[str] | None:
    """Return the payment session's ID, None if there is none or it is malformed."""
    given = Secret(response.headers.get(SESSION, ""))
    return given if _SESSION_ID.fullmatch(given.reveal()) else None


def scrubbed(text: str, secrets: list[Secret[str]]) -> str:
    """Return a host's text without our secrets, should it send them back.

    No local variable holds one revealed: an unexpected error may show a traceback with locals."""
    for secret in secrets:
        if secret:
            text = text.replace(secret.reveal(), "<secret>")
    return text


def header_value(value: str | Secret[str]) -> str:
    """Return a request header's value as it is sent.  Raises MalformedMessage, without the value,
    if no header may hold it."""
    text = value.reveal() if isinstance(value, Secret) else value
    if not text.isascii() or not text.isprintable():
        # Said without the value: h11's own message would repeat it.
        raise MalformedMessage("a request header has characters that no header may hold")
    return text


def reason_in(raw: bytes, *keys: str) -> object:
    """Return what the JSON of an error says under the first of ``keys`` that it has; None if it
    says nothing there."""
    try:
        message = strict_json.loads(raw)
    except MalformedMessage:
        return None
    if not isinstance(message, dict):
        return None
    reason = next((message[key] for key in keys if message.get(key)), None)
    return reason.get("message") if isinstance(reason, dict) else reason


def shown_reason(reason: object, secrets: list[Secret[str]]) -> str:
    """Return a reason given from outside for people: short, without control characters or our
    secrets."""
    if not isinstance(reason, str) or not reason:
        return "no reason given"
    clean = "".join(c if c.isprintable() else " " for c in scrubbed(reason, secrets))
    return clean if len(clean) <= 300 else clean[:297] + "..."


def without_answer(stream: bool, raw: bytes, problem: Problem) -> ResponseEvidence:
    """Return the evidence of a response that holds no answer, by the digest of what came."""
    return ResponseEvidence(
        stream=stream,
        text=None,
        tool_calls=None,
        finish_reason=None,
        frame=None,
        raw_sha256=hashlib.sha256(raw).hexdigest(),
        raw_size=len(raw),
        problem=problem,
    )


def without_frames(error: OpgError) -> OpgError:
    """Return the error without the frames it came through: their locals hold the request's
    headers."""
    error.__context__ = None
    error.__cause__ = None
    return error.with_traceback(None)


def server_date(headers: Mapping[str, str]) -> datetime | None:
    """Return the host's clock (aware UTC) by the response header ``date``, None if unreadable."""
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(headers.get("date", ""))
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds for which a host asks to be left alone (``Retry-After``, seconds or a
    date), None if it says nothing that can be read."""
    from email.utils import parsedate_to_datetime

    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        date = parsedate_to_datetime(said)
        date = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def kept_headers(response: httpx.Response, secrets: list[Secret[str]]) -> dict[str, str]:
    """Return the response headers that may be kept, by lower-case name and without secrets."""
    return {
        name.lower(): scrubbed(value, secrets)
        for name, value in response.headers.multi_items()
        if name.lower() in _KEPT_HEADERS
    }
