"""One request and its answer to the end of the body, whoever is asked: a host, or a relay.

However it ends, what is known of it comes back as data: whoever has paid must be able to say what
for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from opg_magic.errors import OpgError
from opg_magic.models import Problem, ResponseEvidence
from opg_magic.models.secret import Secret
from opg_magic.network.exchange import (
    SESSION,
    ExchangeState,
    RawExchange,
    SendCancelled,
    SendFailed,
    kept_headers,
    secrets_of,
    server_date,
    session_id_of,
    without_frames,
)

if TYPE_CHECKING:
    import httpx


class Sink(Protocol):
    """Takes the bytes of one response's body.  ``limit``: the most that are read."""

    limit: int

    def begin(self, status: int) -> None: ...
    def feed(self, part: bytes) -> bool: ...
    def evidence(self, state: ExchangeState, secrets: list[Secret[str]]) -> ResponseEvidence: ...


async def carried(
    attempt: Awaitable[None],
    state: ExchangeState,
    sink: Sink,
    *,
    headers: Mapping[str, str | Secret[str]],
    timeout: float,
    reaching: str,
    failed: Callable[[str], SendFailed] = SendFailed,
) -> RawExchange:
    """Run ``attempt``, which fills ``state`` and ``sink``, for at most ``timeout`` seconds.

    Returns the exchange whenever a byte may have left.  Raises what ``attempt`` refused, or
    what ``failed`` makes of why (``reaching`` says what could not be), if nothing was sent;
    SendCancelled on cancellation, which carries the exchange."""
    failure: OpgError | None = None
    cancelled = False
    try:
        async with asyncio.timeout(timeout):
            await attempt
    except TimeoutError:
        state.problem = Problem("timeout", f"no complete answer within {timeout:g} s")
    except asyncio.CancelledError:
        cancelled = True
        state.problem = Problem(
            "interrupted", "the call was stopped before its answer was complete"
        )
    except OpgError as refused:
        failure = without_frames(refused)
        state.problem = Problem("truncated", refused.message)
    except Exception as broken:
        state.problem = Problem("truncated", _broken(broken))
    # Outside the handlers, so that nothing raised from here has a context with foreign frames.
    exchange = _raw(state, sink, secrets_of(headers))
    if cancelled:
        raise SendCancelled(exchange)
    if not exchange.header_sent:
        if failure is not None:
            raise failure
        reason = state.problem.message if state.problem else "no connection"
        raise failed(f"{reaching}: {reason}. Nothing was sent.")
    return exchange


#: How a connection ends, by the name of httpx's or httpcore's error.
_BROKEN = {
    "ReadError": "the connection broke while the answer was read",
    "WriteError": "the connection broke while the request was sent",
}
#: Of a RemoteProtocolError: that the connection ended, and not that its bytes were no HTTP.
_ENDED = ("peer closed connection", "Server disconnected")


def _broken(problem: Exception) -> str:
    name = type(problem).__name__
    if name == "RemoteProtocolError" and str(problem).startswith(_ENDED):
        return "the connection ended before the answer was complete"
    return _BROKEN.get(name, f"the connection broke ({name})")


async def read_response(
    response: httpx.Response, state: ExchangeState, sink: Sink, secrets: list[Secret[str]]
) -> None:
    """Read a response's head and body, to its end or as far as ``sink`` takes it."""
    try:
        state.status = response.status_code
        state.session = session_id_of(response)
        state.session_refused = state.session is None and bool(response.headers.get(SESSION))
        if state.session is not None:
            secrets.append(state.session)
        state.headers = kept_headers(response, secrets)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            state.problem = Problem("framing", "the answer is compressed although it must not be")
            return
        sink.begin(response.status_code)
        async for part in response.aiter_raw():
            if not sink.feed(part):
                state.problem = Problem("too-large", f"the answer exceeds {sink.limit} bytes")
                break
        else:
            state.body_ended = True
    finally:
        await response.aclose()


def _raw(state: ExchangeState, sink: Sink, secrets: list[Secret[str]]) -> RawExchange:
    """The exchange as data, with the evidence read from what came."""
    now = datetime.now(UTC)
    if state.session is not None:
        secrets.append(state.session)
    # First: the sink may add to what the state says.
    response = sink.evidence(state, secrets)
    return RawExchange(
        status=state.status,
        headers=state.headers,
        response=response,
        session=state.session,
        sent_at=state.sent_at or now,
        received_at=now,
        header_sent=state.sent_at is not None,
        complete=state.body_ended,
        server_date=server_date(state.headers),
        session_refused=state.session_refused,
        unopened=state.unopened,
    )
