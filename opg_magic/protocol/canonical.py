"""What a host hashes and signs: canonical requests, output and digest.

A canonical request is always computed from the JSON that was sent, parsed again, never from Python
objects: it depends on the order of keys and the types of numbers.  The rules are versioned; a
receipt records which version matched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import Kind, RequestEvidence, strict_json
from opg_magic.protocol import python_text
from opg_magic.protocol.keccak import keccak256

#: The rules of the hosts of April 2026, which the recordings show.
CANONICALISER = "2026-04"
#: The rules that the official SDK 1.1.4 states for newer hosts: reduced content lists,
#: ``web_search``.
NEWER = "sdk-1.1.4"

CHAT_KEYS = ("model", "messages", "temperature", "max_tokens", "stop", "tools", "response_format")
_COMPLETION_KEYS = ("model", "prompt", "temperature", "max_tokens", "stop")


# ------------------------------------------------------------------------------------------ hashing


def request_hash(canonical: str) -> bytes:
    """Return the Keccak-256 of a canonical request (ASCII by construction)."""
    return keccak256(canonical.encode("utf-8"))


def output_hash(text: str) -> bytes:
    """Return the Keccak-256 of the output's UTF-8 bytes, without Unicode normalisation (NFC and NFD
    differ)."""
    return keccak256(text.encode("utf-8"))


def signed_digest(request_hash: bytes, output_hash: bytes, timestamp: int) -> bytes:
    """Return the 32 bytes that a host signs: ``keccak256(request_hash || output_hash ||
    uint256_be(timestamp))``."""
    return keccak256(request_hash + output_hash + timestamp.to_bytes(32, "big"))


@lru_cache(maxsize=64)
def tee_id(public_key_der: bytes) -> str:
    """Return a host's ID: 0x-hex of the Keccak-256 of its signing key's DER
    SubjectPublicKeyInfo."""
    return "0x" + keccak256(public_key_der).hex()


# ------------------------------------------------------------------------------- canonical requests


def canonicalisers(kind: Kind, body: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Return the versions of the rules to try, newest known first.

    Hosts hash some contents as their Python writes them.  If Python versions write the contents of
    ``body`` differently, there is a version of the rules for each: ``2026-04+unicode-16.0`` means
    the rules of April 2026 on Python 3.14."""
    known = (NEWER, CANONICALISER) if kind == "chat" else (CANONICALISER,)
    if kind != "chat" or body is None or not _written_by_python(body):
        return known
    return (*known, *(f"{rules}{_ON}{unicode}" for unicode in python_text.NEWER for rules in known))


#: Between the rules and the Unicode version of the host's Python, where that is newer than Python
#: 3.11's.
_ON = "+unicode-"


def rules_of(version: str) -> str:
    """Return a version's rules, without its Python."""
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
    """Return the canonical request of either kind under one version of the rules.

    Raises :class:`MalformedMessage` if it has none, or the version is unknown."""
    rules, _, unicode = version.partition(_ON)
    if rules not in canonicalisers(kind) or (
        unicode and (kind != "chat" or unicode not in python_text.NEWER)
    ):
        raise MalformedMessage(
            f"unknown rules for a canonical {kind} request: {version!r}", code="canonicaliser"
        )
    return canonical_chat(body, version) if kind == "chat" else canonical_completion(body)


def canonical_chat(body: Mapping[str, Any], version: str = CANONICALISER) -> str:
    """Return the string that a host hashes for a chat request, from the parsed JSON that was sent.

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
    """Return the string that a host hashes for a completion.

    An absent ``max_tokens`` is 16, an absent ``temperature`` 1.0.  An explicit null leaves the
    first out and makes the second 0.0."""
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
    """Return the keys of a request that no signature covers (``top_p``, ``seed``, ``tool_choice``
    and so on), sorted."""
    covered = set(CHAT_KEYS if kind == "chat" else _COMPLETION_KEYS)
    if kind == "chat" and rules_of(version) == NEWER:
        covered.add("web_search")
    return tuple(sorted(set(body) - covered))


#: Keys that say how the answer is to come, not what it is to be.
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
    """Return what a request asks that no signature covers, as paths (``seed``, ``messages.name``,
    ``messages.image_url``).

    Besides :func:`unsigned_keys`, this is what hosts leave out of messages and, under the newer
    rules, what an attachment holds: hosts hash only its kind and a file's name."""
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
    """Return what a receipt keeps of a request: the JSON text sent and its canonical form.

    Raises :class:`MalformedMessage` if it is not a JSON object, or has no canonical form."""
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
