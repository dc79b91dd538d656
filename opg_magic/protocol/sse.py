"""A strict reader of a host's event stream.  Guards against attacks 9, 10, 11, 16 and 20 of
docs/trust.md.

One ``data:`` line is one JSON chunk; ``data: [DONE]`` ends the stream, and the body ends after it.
Text deltas come out as they arrive, for display only: what counts is :meth:`StreamReader.finish`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import Problem, ResponseEvidence, strict_json
from opg_magic.protocol.frame import carries_signature
from opg_magic.protocol.reply import (
    MAX_BODY_BYTES,
    BadShape,
    content_text,
    finish_reason_of,
    host_failure_text,
    is_host_failure,
    model_of,
    only_choice,
    usage_of,
)

MAX_STREAM_BYTES = MAX_BODY_BYTES
MAX_LINE = 4 * 1024 * 1024
#: Lines of one stream, empty ones included: nobody's answer has as many, and a host could keep a
#: kernel busy with them.
MAX_LINES = 2**20
#: A stream may name this many tool calls.
MAX_TOOL_CALLS = 1024

_DONE = b"[DONE]"


@dataclass
class _ToolCall:
    id: str | None
    name: str | None
    arguments: list[str] = field(default_factory=list)

    def as_hashed(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": "".join(self.arguments)},
        }


class StreamReader:
    """Reads one stream, in whatever pieces it comes.  Never raises for bad bytes; memory is
    bounded.

    The first thing that is wrong is kept as the evidence's :class:`Problem`; from then on bytes are
    only counted and hashed."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._size = 0
        self._lines = 0
        self._pending = bytearray()
        self._problem: Problem | None = None
        self._text: list[str] = []
        self._calls: dict[int | None, _ToolCall] = {}
        self._finish_reason: str | None = None
        self._frame: str | None = None
        self._model: str | None = None
        self._usage: Mapping[str, int] | None = None
        self._done = False

    def feed(self, data: bytes) -> list[str]:
        """Take bytes as they arrive; the new pieces of text, not checked yet, for display."""
        self._digest.update(data)
        self._size += len(data)
        if self._problem is not None:
            return []
        if self._size > MAX_STREAM_BYTES:
            self._stop("too-large", f"the stream is longer than {MAX_STREAM_BYTES} bytes")
            return []
        shown = len(self._text)
        start = 0
        while self._problem is None and (end := data.find(b"\n", start)) >= 0:
            self._pending += data[start:end]
            start = end + 1
            self._pending_line()
        if self._problem is None:
            self._pending += data[start:]
            self._bound_pending()
        return self._text[shown:]

    def finish(self, ended: bool = True) -> ResponseEvidence:
        """What was read.  ``ended`` is False where the body broke off before its end."""
        if self._problem is None and self._pending and ended:
            # A last line without its line feed is whole only if the body is.
            self._pending_line()
        if self._problem is None:
            self._judge_end(ended)
        text: str | None = "".join(self._text)
        calls = self._tool_calls()
        return ResponseEvidence(
            stream=True,
            text=None if calls is not None else text,
            tool_calls=calls,
            finish_reason=self._finish_reason,
            frame=self._frame,
            raw_sha256=self._digest.hexdigest(),
            raw_size=self._size,
            model=self._model,
            usage=self._usage,
            problem=self._problem,
            unsigned_text=(text or None) if calls is not None else None,
        )

    # ---------------------------------------------------------------------------------------- lines

    def _bound_pending(self) -> None:
        if len(self._pending) > MAX_LINE:
            self._stop("too-large", f"a line of the stream is longer than {MAX_LINE} bytes")

    def _pending_line(self) -> None:
        self._bound_pending()
        self._lines += 1
        if self._lines > MAX_LINES:
            self._stop("too-large", f"the stream has more than {MAX_LINES} lines")
        line = bytes(self._pending)
        self._pending.clear()
        if self._problem is None:
            self._line(line)

    def _line(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        if not line:
            return
        if self._done:
            self._stop("framing", "there is something after [DONE]")
        elif line.startswith(b":"):
            return
        elif line.startswith(b"data:"):
            payload = line[5:].removeprefix(b" ")
            if payload == _DONE:
                self._done = True
            else:
                self._chunk(payload)
        else:
            self._stop("framing", "a line of the stream is no data line")

    def _chunk(self, payload: bytes) -> None:
        try:
            message = strict_json.loads(payload)
        except MalformedMessage as error:
            self._stop(
                "ambiguous-json" if error.code == strict_json.AMBIGUOUS else "framing",
                error.message,
            )
            return
        if not isinstance(message, dict):
            self._stop("framing", "a chunk of the stream is not a JSON object")
            return
        if self._frame is not None:
            second = carries_signature(message)
            self._stop(
                "framing",
                "there are two final frames"
                if second
                else "there is content after the final frame",
            )
            return
        if is_host_failure(message):
            self._stop("host-failure", host_failure_text(message))
            return
        try:
            self._take(message)
        except BadShape as error:
            self._stop("framing", str(error))
            return
        if carries_signature(message):
            self._frame = payload.decode("utf-8")

    def _take(self, message: Mapping[str, Any]) -> None:
        if message.get("error") is not None:
            raise BadShape("a chunk holds an error beside an answer")
        self._model = model_of(message) or self._model
        self._usage = usage_of(message) or self._usage
        choice = only_choice(message)
        if choice is None:
            return
        reason = finish_reason_of(choice)
        if reason is not None:
            if self._finish_reason not in (None, reason):
                raise BadShape("the stream gives two finish reasons")
            self._finish_reason = reason
        delta = choice.get("delta")
        if delta is None:
            return
        if not isinstance(delta, dict):
            raise BadShape("a delta is not an object")
        text = content_text(delta.get("content"))
        if text:
            self._text.append(text)
        fragments = delta.get("tool_calls")
        if fragments is None:
            return
        if not isinstance(fragments, list):
            raise BadShape("tool_calls is not a list")
        for fragment in fragments:
            self._fragment(fragment)

    # ----------------------------------------------------------------------------------- tool calls

    def _fragment(self, fragment: Any) -> None:
        """Join one fragment to its call as the host does: by index, ids and names set when present,
        arguments raw."""
        if not isinstance(fragment, dict):
            raise BadShape("a tool call is not an object")
        index = fragment.get("index", 0)
        if index is not None and type(index) is not int:
            raise BadShape("a tool call's index is not a number")
        function = fragment.get("function")
        if function is None:
            function = {}
        if not isinstance(function, dict):
            raise BadShape("a tool call's function is not an object")
        identity, name, arguments = (
            fragment.get("id"),
            function.get("name"),
            function.get("arguments"),
        )
        if any(
            value is not None and not isinstance(value, str)
            for value in (identity, name, arguments)
        ):
            raise BadShape("a tool call's id, name or arguments are not text")
        call = self._calls.get(index)
        if call is None:
            if len(self._calls) >= MAX_TOOL_CALLS:
                raise BadShape("there are too many tool calls")
            # Numbered and unnumbered calls have no order among each other.
            if self._calls and (index is None) != (None in self._calls):
                raise BadShape("some tool calls have an index and some have none")
            call = self._calls[index] = _ToolCall(identity, name)
        call.id = identity or call.id
        call.name = name or call.name
        if arguments:
            call.arguments.append(arguments)

    def _tool_calls(self) -> str | None:
        if not self._calls:
            return None
        ordered = sorted(self._calls.items(), key=lambda item: item[0] or 0)
        return strict_json.dumps_python([call.as_hashed() for _, call in ordered])

    # ------------------------------------------------------------------------------------------ end

    def _judge_end(self, ended: bool) -> None:
        if not ended:
            self._stop("truncated", "the stream broke off before the end of its body")
        elif not self._done:
            self._stop("truncated", "the stream ends without [DONE]")
        elif self._frame is None:
            if self._finish_reason is None:
                self._stop("truncated", "the stream ends without its final frame")
            else:
                self._stop("unsigned", "the host did not sign this answer")

    def _stop(self, code: str, message: str) -> None:
        self._problem = Problem(code, message)
        self._pending.clear()


def read_stream(raw: bytes | str) -> ResponseEvidence:
    """Read a whole stream at once."""
    reader = StreamReader()
    reader.feed(raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass"))
    return reader.finish()
