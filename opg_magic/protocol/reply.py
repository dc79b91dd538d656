"""Reads an answer that was not streamed: what is shown, what was signed, and what is only the
host's word."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import Kind, Problem, ResponseEvidence, strict_json
from opg_magic.protocol.frame import carries_signature

#: The longest body, or stream, that is read.
MAX_BODY_BYTES = 32 * 1024 * 1024


class BadShape(ValueError):
    """An answer has not the documented form; its text says how, for a person."""


def read_reply(raw: bytes | str, kind: Kind = "chat", *, ended: bool = True) -> ResponseEvidence:
    """Read a whole JSON answer.  Never raises for bad bytes: the evidence then carries a
    :class:`Problem`.

    ``ended`` is False where the body was cut before its end.
    """
    data = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    digest, size = hashlib.sha256(data).hexdigest(), len(data)

    def bad(code: str, message: str, frame: str | None = None) -> ResponseEvidence:
        problem = Problem(code, message)
        return ResponseEvidence(False, None, None, None, frame, digest, size, problem=problem)

    if size > MAX_BODY_BYTES:
        return bad("too-large", f"the answer is larger than {MAX_BODY_BYTES} bytes")
    if not ended:
        return bad("truncated", "the answer was cut before its end")
    try:
        text = data.decode("utf-8")
        message = strict_json.loads(text)
    except UnicodeDecodeError:
        return bad("ambiguous-json", "ambiguous JSON: the answer is not valid UTF-8")
    except MalformedMessage as error:
        ambiguous = error.code == strict_json.AMBIGUOUS
        return bad("ambiguous-json" if ambiguous else "framing", error.message)
    if not isinstance(message, dict):
        return bad("framing", "the answer is not a JSON object")
    if is_host_failure(message):
        return bad("host-failure", host_failure_text(message), text)
    try:
        shown, calls, finish, beside = read_message(message, kind)
    except BadShape as error:
        return bad("framing", str(error), text)
    signed = carries_signature(message)
    return ResponseEvidence(
        stream=False,
        text=shown,
        tool_calls=calls,
        finish_reason=finish,
        frame=text if signed else None,
        raw_sha256=digest,
        raw_size=size,
        model=model_of(message),
        usage=usage_of(message),
        problem=None if signed else Problem("unsigned", "the host did not sign this answer"),
        unsigned_text=beside,
    )


def read_message(
    message: Mapping[str, Any], kind: Kind
) -> tuple[str | None, str | None, str | None, str | None]:
    """(text, tool calls as hashed, finish reason, text beside tool calls) of a whole answer;
    :class:`BadShape`."""
    if message.get("error") is not None:
        raise BadShape("the answer holds an error beside it")
    choice = only_choice(message)
    if choice is None:
        raise BadShape("the answer has no choice")
    finish = finish_reason_of(choice)
    if kind == "completion":
        text = choice.get("text")
        if not isinstance(text, str):
            raise BadShape("the completion has no text")
        return text, None, finish, None
    inner = choice.get("message")
    if not isinstance(inner, dict):
        raise BadShape("the answer's choice has no message")
    content = content_text(inner.get("content"))
    calls = inner.get("tool_calls")
    if calls is None or calls == []:
        return content, None, finish, None
    if not is_tool_call_list(calls):
        raise BadShape("tool_calls is not a list of tool calls")
    return None, strict_json.dumps_python(calls), finish, content or None


def is_host_failure(message: Mapping[str, Any]) -> bool:
    """The host's own word that it failed: ``{"error": ...}``, with neither an answer nor a
    signature beside it."""
    return (
        message.get("error") is not None
        and "choices" not in message
        and not carries_signature(message)
    )


def host_failure_text(message: Mapping[str, Any]) -> str:
    """The host's message: untrusted text, so bounded and without control characters."""
    error = message.get("error")
    if isinstance(error, dict):
        error = error.get("message", error)
    text = "".join(char if char.isprintable() else " " for char in str(error)[:200])
    return f"the host reports failure: {text}"


def only_choice(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The one choice there may be (hosts ignore ``n``), None for an empty list or none;
    :class:`BadShape` for more."""
    choices = message.get("choices")
    if choices is None:
        return None
    if not isinstance(choices, list) or len(choices) > 1:
        raise BadShape("choices is not a list of one")
    if not choices:
        return None
    choice = choices[0]
    if not isinstance(choice, dict):
        raise BadShape("a choice is not an object")
    index = choice.get("index", 0)
    if index is not None and (type(index) is not int or index != 0):
        raise BadShape("the only choice has another index than 0")
    return choice


def finish_reason_of(choice: Mapping[str, Any]) -> str | None:
    """Return why the answer ended, None if unsaid.  Raises :class:`BadShape`."""
    reason = choice.get("finish_reason")
    if reason is not None and not isinstance(reason, str):
        raise BadShape("finish_reason is not a text")
    return reason


def content_text(content: Any) -> str:
    """The text of a content: a string, or the text parts of a list joined with nothing between; ""
    for null."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadShape("content is neither text nor a list of parts")
    pieces: list[str] = []
    for part in content:
        piece = part.get("text", "") if isinstance(part, dict) else part
        if not isinstance(piece, str):
            raise BadShape("a part of the content is not text")
        pieces.append(piece)
    return "".join(pieces)


def is_tool_call_list(value: Any) -> bool:
    """Whether a parsed value is a non-empty list of tool calls."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(call, dict) and isinstance(call.get("function"), dict) for call in value)
    )


def is_tool_call_text(text: str) -> bool:
    """Whether ``text`` is byte for byte what a host would hash for some list of tool calls."""
    if not text.startswith("[{"):
        return False
    try:
        value = strict_json.loads(text)
    except MalformedMessage:
        return False
    return is_tool_call_list(value) and strict_json.dumps_python(value) == text


def model_of(message: Mapping[str, Any]) -> str | None:
    """The model's name as the host states it: not signed."""
    model = message.get("model")
    return model if isinstance(model, str) else None


def usage_of(message: Mapping[str, Any]) -> Mapping[str, int] | None:
    """The host's token counts: not signed.  Only whole, non-negative numbers are kept."""
    usage = message.get("usage")
    if not isinstance(usage, dict):
        return None
    return {key: value for key, value in usage.items() if type(value) is int and 0 <= value < 2**63}
