"""An answer as it comes, in server-sent events.  The newest piece is always held back: the last
one, and all that says that this was the whole, leave only once the answer has passed.

If it does not pass, the stream ends with an error and is cut off, so that no client takes what it
has for a whole answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from opg_magic.endpoint.refusal import Refusal
from opg_magic.endpoint.replies import Reply
from opg_magic.models import Answer, Phase, Progress

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


class EventStream:
    """One streamed reply.  The response begins with the first piece: until then a failure has a
    status of its own, and an answer its headers."""

    def __init__(self, request: web.Request, reply: Reply, *, held: bool) -> None:
        """``held``: nothing leaves before the verdict."""
        self._request = request
        self._reply = reply
        self._held = held
        self._newest = self._passed_over = self._sent = ""
        #: Told of a failure after pieces had left, by an error in the stream.
        self.has_failed = False
        self._news = asyncio.Event()
        self._response: web.StreamResponse | None = None

    def see(self, progress: Progress) -> None:
        """Watch the call; on its loop."""
        if progress.phase is not Phase.ANSWER or progress.text == self._newest:
            return
        self._passed_over, self._newest = self._newest, progress.text
        self._news.set()

    async def follow(self, call: asyncio.Task[Answer]) -> None:
        """Pass on what comes, all but the newest piece, until the call has ended."""
        call.add_done_callback(lambda _: self._news.set())
        while not call.done():
            await self._news.wait()
            self._news.clear()
            text = self._passed_over
            more = not call.done() and not self._held and text.startswith(self._sent)
            if more and text != self._sent:
                await self._write(self._reply.piece(text[len(self._sent) :], first=not self._sent))
                self._sent = text

    async def finish(self, answer: Answer) -> web.StreamResponse:
        """The answer has passed: the rest, what is known of the call, and the end."""
        if not answer.text.startswith(self._sent) or (self._sent and answer.tool_calls):
            raise _not_what_came(answer)
        rest = self._reply.rest(answer, answer.text[len(self._sent) :], first=not self._sent)
        response = await self._begun(self._reply.headers(answer))
        await response.write(rest)
        await response.write_eof()
        return response

    @property
    def has_begun(self) -> bool:
        """Whether anything has left, so that no status can be given any more."""
        return self._response is not None

    async def fail(self, refusal: Refusal) -> web.StreamResponse:
        """There is no answer: what has left is followed by an error, and cut off."""
        self.has_failed = True
        response = await self._begun({})
        await response.write(self._reply.failure(refusal))
        # Without the end of its body: what has left is not to pass for a whole answer.
        if self._request.transport is not None:
            self._request.transport.close()
        return response

    async def _write(self, data: bytes) -> None:
        await (await self._begun({})).write(data)

    async def _begun(self, headers: Mapping[str, str]) -> web.StreamResponse:
        if self._response is None:
            self._response = web.StreamResponse(headers={**_HEADERS, **headers})
            await self._response.prepare(self._request)
        return self._response


def _not_what_came(answer: Answer) -> Refusal:
    return Refusal(
        502,
        "The answer that passed does not begin with the text that was passed on. It is in its "
        f"receipt: opg show {answer.receipt.id}",
        "api_error",
        "answer_withheld",
        opg={"receipt": answer.receipt.id, "verdict": answer.verdict.label},
    )
