"""What a host hashes and signs: canonical requests, output and digest (protocol section 3).

A canonical request is always computed from the JSON that was sent, parsed again, never from Python
objects: the order of keys and the types of numbers matter to it.  The rules are versioned; a
receipt records which version matched."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from opg_magic.errors import MalformedMessage, RequestError
from opg_magic.models import Kind, Prompt, RequestEvidence, strict_json
from opg_magic.protocol import python_text
from opg_magic.protocol.keccak import keccak256

#: The rules of the hosts of April 2026, which the recordings show.
CANONICALISER = "2026-04"
#: The rules that the official SDK 1.1.4 states for newer hosts: reduced content lists,
#: ``web_search``.
NEWER = "sdk-1.1.4"

#: Always sent with a completion: an absent one hashes as 16, so that saying nothing would cut
#: answers short.
DEFAULT_COMPLETION_TOKENS = 256
DEFAULT_TEMPERATURE = 0.0
MAX_STOPS = 4

_CHAT_KEYS = ("model", "messages", "temperature", "max_tokens", "stop", "tools", "response_format")
_COMPLETION_KEYS = ("model", "prompt", "temperature", "max_tokens", "stop")
_RESPONSE_FORMATS = ("text", "json_object", "json_schema")
_MESSAGE_ROLES = ("system", "user", "assistant", "tool", "function")


# ------------------------------------------------------------------------------------------ hashing


def request_hash(canonical: str) -> bytes:
    """Keccak-256 of a canonical request (ASCII by construction)."""
    return keccak256(canonical.encode("utf-8"))


def output_hash(text: str) -> bytes:
    """Keccak-256 of the output's UTF-8 bytes; no Unicode normalisation (NFC and NFD differ)."""
    return keccak256(text.encode("utf-8"))


def signed_digest(request_hash: bytes, output_hash: bytes, timestamp: int) -> bytes:
    """The 32 bytes that a host signs: ``keccak256(request_hash || output_hash ||
    uint256_be(timestamp))``."""
    return keccak256(request_hash + output_hash + timestamp.to_bytes(32, "big"))


def tee_id(public_key_der: bytes) -> str:
    """A host's id: 0x-hex of the Keccak-256 of its signing key's DER SubjectPublicKeyInfo (protocol
    section 2)."""
    return "0x" + keccak256(public_key_der).hex()


# ------------------------------------------------------------------------------- canonical requests


def canonicalisers(kind: Kind, body: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The versions of the rules to try, newest known first.

    Hosts hash some contents as their Python writes them.  For a ``body`` with one that Pythons
    write differently, there is a version for each: ``2026-04+unicode-16.0`` are the rules of April
    2026 on Python 3.14."""
    known = (NEWER, CANONICALISER) if kind == "chat" else (CANONICALISER,)
    if kind != "chat" or body is None or not _written_by_python(body):
        return known
    return (*known, *(f"{rules}{_ON}{unicode}" for unicode in python_text.NEWER for rules in known))


#: Between the rules and the Unicode version of the host's Python, where that is newer than Python
#: 3.11's.
_ON = "+unicode-"


def rules_of(version: str) -> str:
    """A version's rules, whatever the host's Python."""
    return version.partition(_ON)[0]


def _written_by_python(body: Mapping[str, Any]) -> bool:
    messages = body.get("messages")
    contents = (
        [m.get("content") for m in messages if isinstance(m, dict)]
        if isinstance(messages, list)
        else []
    )
    return any(not isinstance(content, str) and python_text.varies(content) for content in contents)


def canonicalise(kind: Kind, body: Mapping[str, Any], version: str = CANONICALISER) -> str:
    """The canonical request of either kind under one version of the rules;
    :class:`MalformedMessage` if it has none."""
    rules, _, unicode = version.partition(_ON)
    if rules not in canonicalisers(kind) or (
        unicode and (kind != "chat" or unicode not in python_text.NEWER)
    ):
        raise MalformedMessage(
            f"unknown rules for a canonical {kind} request: {version!r}", code="canonicaliser"
        )
    return canonical_chat(body, version) if kind == "chat" else canonical_completion(body)


def canonical_chat(body: Mapping[str, Any], version: str = CANONICALISER) -> str:
    """The string that a host hashes for a chat request, from the parsed JSON that was sent.

    Raises :class:`MalformedMessage` (code ``request``) for a body that no host would take.
    """
    rules, _, unicode = version.partition(_ON)

    def reduce(content: Any) -> Any:
        # Hosts of April 2026 hash Python's own rendering of the parsed list, key order and quotes
        # included.
        text = partial(python_text.python_text, unicode=unicode or python_text.OLDEST)
        return _reduced_content(content, text) if rules == NEWER else text(content)

    messages = body.get("messages")
    if not isinstance(messages, list):
        raise _malformed("messages is not a list")
    canonical: dict[str, Any] = {
        "model": body.get("model"),
        "messages": [_canonical_message(message, reduce) for message in messages],
        "temperature": _temperature(body.get("temperature")),
    }
    if body.get("max_tokens") is not None:
        canonical["max_tokens"] = body["max_tokens"]
    for key, shape in (("stop", object), ("tools", list), ("response_format", dict)):
        value = body.get(key)
        if value:
            if not isinstance(value, shape):
                raise _malformed(f"{key} is not a {shape.__name__}")
            canonical[key] = value
    if rules == NEWER and body.get("web_search"):
        canonical["web_search"] = True
    return strict_json.dumps_python(canonical)


def canonical_completion(body: Mapping[str, Any]) -> str:
    """The string that a host hashes for a completion: absent ``max_tokens`` is 16, absent
    ``temperature`` is 1.0, an explicit null leaves the first out and makes the second 0.0."""
    canonical: dict[str, Any] = {
        "model": body.get("model"),
        "prompt": body.get("prompt"),
        "temperature": _temperature(body.get("temperature", 1)),
    }
    max_tokens = body.get("max_tokens", 16)
    if max_tokens is not None:
        canonical["max_tokens"] = max_tokens
    if body.get("stop"):
        canonical["stop"] = body["stop"]
    return strict_json.dumps_python(canonical)


def unsigned_keys(
    kind: Kind, body: Mapping[str, Any], version: str = CANONICALISER
) -> tuple[str, ...]:
    """Keys of a request that no signature covers (``top_p``, ``seed``, ``tool_choice`` ...),
    sorted."""
    covered = set(_CHAT_KEYS if kind == "chat" else _COMPLETION_KEYS)
    if kind == "chat" and rules_of(version) == NEWER:
        covered.add("web_search")
    return tuple(sorted(set(body) - covered))


#: How the answer is to come, not what it is to be.
TRANSPORT = frozenset({"stream", "stream_options"})
_MESSAGE_KEYS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
    "function": {"role", "content", "name"},
}


def unsigned_parts(
    kind: Kind, body: Mapping[str, Any], version: str = CANONICALISER
) -> tuple[str, ...]:
    """What a request asks that no signature covers, as paths (``seed``, ``messages.name``,
    ``messages.image_url``).

    Besides :func:`unsigned_keys`: what hosts leave out of messages, and, under the newer rules,
    what an attachment holds: of that they hash the kind and a file's name alone."""
    found = set(unsigned_keys(kind, body, version))
    messages = body.get("messages") if kind == "chat" else None
    for message in messages if isinstance(messages, list) else []:
        if not isinstance(message, dict):
            continue
        found |= {
            f"messages.{key}"
            for key in set(message) - _MESSAGE_KEYS.get(str(message.get("role")), set())
        }
        calls = message.get("tool_calls") if message.get("role") == "assistant" else None
        for call in calls if isinstance(calls, list) else []:
            found |= _unsigned_in_call(call)
        content = (
            message.get("content")
            if message.get("role") == "user" and rules_of(version) == NEWER
            else None
        )
        for part in content if isinstance(content, list) else []:
            found |= _unsigned_in_part(part)
    return tuple(sorted(found))


def _unsigned_in_call(call: Any) -> set[str]:
    if not isinstance(call, dict):
        return set()
    function = call.get("function")
    inner = set(function) - {"name", "arguments"} if isinstance(function, dict) else set()
    return {f"messages.tool_calls.{key}" for key in set(call) - {"id", "type", "function"}} | {
        f"messages.tool_calls.function.{key}" for key in inner
    }


def _unsigned_in_part(part: Any) -> set[str]:
    if not isinstance(part, dict):
        return set()
    kind = part.get("type")
    if kind != "text":
        return {f"messages.{kind if isinstance(kind, str) else 'content'}"}
    return {f"messages.content.{key}" for key in set(part) - {"type", "text"}}


def request_evidence(
    body: bytes | str, kind: Kind, version: str = CANONICALISER
) -> RequestEvidence:
    """What a receipt keeps of a request: the JSON text sent and its canonical form."""
    text = body.decode("utf-8") if isinstance(body, bytes) else body
    parsed = strict_json.loads(text)
    if not isinstance(parsed, dict):
        raise _malformed("the request is not a JSON object")
    return RequestEvidence(kind, text, canonicalise(kind, parsed, version), version)


def _malformed(message: str) -> MalformedMessage:
    return MalformedMessage(message, code="request")


def _temperature(value: Any) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _malformed("temperature is not a number")
    try:
        return float(value)
    except OverflowError:
        raise _malformed("temperature is too large") from None


def _canonical_message(message: Any, reduce: Callable[[Any], Any]) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise _malformed("a message is not an object")
    role, content = message.get("role"), message.get("content")
    match role:
        case "system":
            return {"role": role, "content": content}
        case "user":
            return {
                "role": role,
                "content": content if isinstance(content, str) else reduce(content),
            }
        case "assistant":
            reduced: dict[str, Any] = {"role": role, "content": content or ""}
            calls = message.get("tool_calls")
            if calls:
                if not isinstance(calls, list):
                    raise _malformed("tool_calls is not a list")
                reduced["tool_calls"] = [_canonical_tool_call(call) for call in calls]
            return reduced
        case "tool":
            return {"role": role, "content": content, "tool_call_id": message.get("tool_call_id")}
        case "function":
            return {"role": role, "content": content, "name": message.get("name")}
        case _:
            raise _malformed(f"no host takes a message of role {str(role)[:40]!r}")


def _canonical_tool_call(call: Any) -> dict[str, Any]:
    function = call.get("function", {}) if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise _malformed("a tool call is not an object with a function")
    return {
        "id": call.get("id"),
        "type": call.get("type"),
        "function": {"name": function.get("name"), "arguments": function.get("arguments")},
    }


def _reduced_content(content: Any, text: Callable[[Any], str]) -> Any:
    if not isinstance(content, list):
        return text(content)
    return [_reduced_part(part, text) for part in content]


def _reduced_part(part: Any, text: Callable[[Any], str]) -> dict[str, Any]:
    if not isinstance(part, dict):
        return {"type": "text", "text": text(part)}
    if part.get("type") == "text":
        return {"type": "text", "text": part.get("text") or ""}
    reduced: dict[str, Any] = {"type": part.get("type")}
    file = part.get("file")
    name = (file.get("filename") if isinstance(file, dict) else None) or part.get("filename")
    if name:
        reduced["filename"] = name
    return reduced


# ------------------------------------------------------------------------------------- what is sent


def wire_model(model: str) -> str:
    """The model's name without its provider prefix: ``openai/gpt-5`` is sent as ``gpt-5``."""
    name = model.strip()
    provider, slash, rest = name.partition("/")
    name = rest if slash else provider
    if not name or (slash and not provider):
        raise RequestError(
            f"{model!r} names no model.", hint="Models are named provider/name, as in openai/gpt-5."
        )
    return name


def build_body(prompt: Prompt) -> bytes:
    """The exact JSON bytes to send for a prompt.

    Keys are left out rather than null; ``temperature`` is always sent, with a completion
    ``max_tokens`` too.  Raises :class:`RequestError` for everything that hosts refuse or hash
    ambiguously (protocol section 3)."""
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
        # At least 1: zero is signed as 0 but runs 4096 tokens, so what is signed would not be what
        # is asked.
        body["max_tokens"] = max_tokens
    body["temperature"] = DEFAULT_TEMPERATURE if prompt.temperature is None else prompt.temperature
    stops = _stops(prompt.stop)
    if stops:
        body["stop"] = stops
    for key, value in prompt.extra.items():
        if key in body or key in (*_CHAT_KEYS[:5], "prompt", "stream"):
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
            f"Hosts know no message role {role!r}.", hint=f"Roles: {', '.join(_MESSAGE_ROLES)}."
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
                "Hosts take no tool but a function with a name.",
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
            f"Hosts know no response_format of this type; there are {', '.join(_RESPONSE_FORMATS)}."
        )
    if kind == "json_schema" and not _is_named(response_format.get("json_schema")):
        raise RequestError("response_format needs json_schema, an object with a name.")


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("name"), str)


def _has_other_keys(value: Any) -> bool:
    """Whether an object in it has a key that is no text: JSON would write 1 as "1", and None as
    "null"."""
    if isinstance(value, Mapping):
        return any(
            not isinstance(key, str) or _has_other_keys(inner) for key, inner in value.items()
        )
    return isinstance(value, list | tuple) and any(_has_other_keys(inner) for inner in value)


def _encode(body: Mapping[str, Any], kind: Kind) -> bytes:
    try:
        if _has_other_keys(body):
            raise RequestError("An object in the request has a key that is no text.")
        data = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
            "utf-8"
        )
    except UnicodeEncodeError:
        raise RequestError("The prompt holds a lone surrogate, which is not text.") from None
    except RecursionError:
        raise RequestError("The request is nested too deeply.") from None
    except (TypeError, ValueError) as error:
        raise RequestError(f"The request cannot be written as JSON: {error}") from None
    # What is hashed is what these bytes parse to: read them back as a host does, and refuse what
    # reads two ways.
    try:
        request_evidence(data, kind)
    except MalformedMessage as error:
        raise RequestError(
            f"The request would not be read as it is meant: {error.message}"
        ) from None
    return data
