"""The exact bytes to send to a host for a prompt.

Whatever a host would refuse, or hash in a way that can be read twice, is refused here, before
anything is signed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from opg_magic.errors import MalformedMessage, RequestError
from opg_magic.models import Kind, Prompt
from opg_magic.protocol.canonical import CHAT_KEYS, request_evidence

#: Always sent with a completion: an absent one hashes as 16, which would cut answers short.
DEFAULT_COMPLETION_TOKENS = 256
DEFAULT_TEMPERATURE = 0.0
MAX_STOPS = 4

_RESPONSE_FORMATS = ("text", "json_object", "json_schema")
_MESSAGE_ROLES = ("system", "user", "assistant", "tool", "function")


def wire_model(model: str) -> str:
    """Return the model's name without its provider prefix: ``openai/gpt-5`` is sent as ``gpt-5``.

    Raises :class:`RequestError` if nothing is left."""
    name = model.strip()
    provider, slash, rest = name.partition("/")
    name = rest if slash else provider
    if not name or (slash and not provider):
        raise RequestError(
            f"{model!r} names no model.", hint="Use provider/name, as in openai/gpt-5."
        )
    return name


def build_body(prompt: Prompt) -> bytes:
    """Return the exact JSON bytes to send for a prompt.

    Keys are left out rather than null.  ``temperature`` is always sent, and ``max_tokens`` with a
    completion.  Raises :class:`RequestError` for everything that hosts refuse or hash
    ambiguously."""
    body: dict[str, Any] = {"model": wire_model(prompt.model)}
    if prompt.kind == "chat":
        body["messages"] = _messages(prompt)
    else:
        if prompt.system is not None or prompt.messages is not None:
            raise RequestError("A completion takes a plain prompt: no system text and no messages.")
        body["prompt"] = prompt.text
    max_tokens = prompt.max_tokens
    if max_tokens is None and prompt.kind == "completion":
        max_tokens = DEFAULT_COMPLETION_TOKENS
    if max_tokens is not None:
        # At least 1: a host signs 0 but runs 4096 tokens, so it would not sign what it was asked.
        body["max_tokens"] = max_tokens
    body["temperature"] = DEFAULT_TEMPERATURE if prompt.temperature is None else prompt.temperature
    stops = _stops(prompt.stop)
    if stops:
        body["stop"] = stops
    for key, value in prompt.extra.items():
        if key in body or key in (*CHAT_KEYS[:5], "prompt", "stream"):
            raise RequestError(f"{key!r} has an option of its own and cannot be given twice.")
        if value is not None:
            body[key] = value
    if prompt.kind == "chat" and prompt.stream:
        # Completions are never streamed by hosts.
        body["stream"] = True
    _check_extra(body)
    return _encode(body, prompt.kind)


def _messages(prompt: Prompt) -> list[dict[str, Any]]:
    if prompt.messages is not None:
        if not prompt.messages:
            raise RequestError("The list of messages is empty.")
        return [_checked_message(message) for message in prompt.messages]
    messages = [] if prompt.system is None else [{"role": "system", "content": prompt.system}]
    return [*messages, {"role": "user", "content": prompt.text}]


def _checked_message(message: Mapping[str, Any]) -> dict[str, Any]:
    role = message.get("role")
    if role == "developer":
        raise RequestError(
            "Hosts answer the role 'developer' with an error.", hint="Use the role 'system'."
        )
    if not isinstance(role, str) or role not in _MESSAGE_ROLES:
        raise RequestError(
            f"Hosts do not know the message role {role!r}.",
            hint=f"Roles: {', '.join(_MESSAGE_ROLES)}.",
        )
    checked = {key: value for key, value in message.items() if value is not None}
    content = checked.get("content")
    if content is None:
        if role != "assistant" or not checked.get("tool_calls"):
            raise RequestError(f"A message of role {role!r} has no content.")
        checked["content"] = ""
    elif isinstance(content, list | tuple):
        if not content:
            raise RequestError("A message's content is an empty list.")
        for part in content:
            if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
                raise RequestError("A part of a message's content is not an object with a type.")
            if part["type"] == "file":
                raise RequestError("Hosts refuse file parts.")
    elif not isinstance(content, str):
        raise RequestError("A message's content is neither text nor a list of parts.")
    needed = {"tool": "tool_call_id", "function": "name"}.get(role)
    if needed and not isinstance(checked.get(needed), str):
        raise RequestError(f"A message of role {role!r} needs {needed}.")
    return checked


def _stops(stop: Sequence[str]) -> list[str]:
    if len(stop) > MAX_STOPS:
        raise RequestError(f"Hosts take at most {MAX_STOPS} stop texts.")
    return list(stop)


def _check_extra(body: Mapping[str, Any]) -> None:
    """What a host would answer with 400, once an authorisation has been signed for it."""
    tools = body.get("tools")
    if tools is not None and not (
        isinstance(tools, list | tuple) and all(isinstance(tool, Mapping) for tool in tools)
    ):
        raise RequestError("tools must be a list of objects.")
    for tool in tools or ():
        function = tool.get("function")
        if tool.get("type") != "function" or not _is_named(function):
            raise RequestError(
                "Hosts take only tools that are functions with a name.",
                hint='As in {"type": "function", "function": {"name": "weather", "parameters": '
                '{"type": "object"}}}.',
            )
    response_format = body.get("response_format")
    if response_format is None:
        return
    if not isinstance(response_format, Mapping):
        raise RequestError("response_format must be an object.")
    kind = response_format.get("type")
    if kind not in _RESPONSE_FORMATS:
        raise RequestError(
            f"Hosts do not know this response_format; they take {', '.join(_RESPONSE_FORMATS)}."
        )
    if kind == "json_schema" and not _is_named(response_format.get("json_schema")):
        raise RequestError("response_format needs json_schema, an object with a name.")


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("name"), str)


def _has_other_keys(value: Any) -> bool:
    """Whether an object in it has a key that is not a text: JSON would write 1 as "1", and None
    as "null"."""
    if isinstance(value, Mapping):
        return any(
            not isinstance(key, str) or _has_other_keys(inner) for key, inner in value.items()
        )
    return isinstance(value, list | tuple) and any(_has_other_keys(inner) for inner in value)


def _encode(body: Mapping[str, Any], kind: Kind) -> bytes:
    try:
        if _has_other_keys(body):
            raise RequestError("An object in the request has a key that is not a text.")
        data = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
            "utf-8"
        )
    except UnicodeEncodeError:
        raise RequestError("The prompt holds a lone surrogate, which is not text.") from None
    except RecursionError:
        raise RequestError("The request is nested too deeply.") from None
    except (TypeError, ValueError) as error:
        raise RequestError(f"The request cannot be written as JSON: {error}") from None
    # A host hashes what these bytes parse to: read them back as it does, and refuse what reads two
    # ways.
    try:
        request_evidence(data, kind)
    except MalformedMessage as error:
        raise RequestError(
            f"A host would not read the request as you mean it: {error.message}"
        ) from None
    return data
