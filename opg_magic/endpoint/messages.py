"""The messages of a request, as hosts take and sign them.

Hosts drop a message's other keys, and all that is not text, before they sign; so whoever sends such
a thing is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opg_magic.endpoint.refusal import bad_value, unsupported

#: The keys that a role's message may have beside ``role`` and ``content``.
_KEYS: Mapping[str, frozenset[str]] = {
    "system": frozenset(),
    "user": frozenset(),
    "assistant": frozenset({"tool_calls"}),
    "tool": frozenset({"tool_call_id"}),
    "function": frozenset({"name"}),
}
#: Another name that clients have for a role: hosts know the old one alone.
_ALIASES = {"developer": "system"}


def read_messages(given: Any) -> tuple[Mapping[str, Any], ...]:
    """The messages as they are sent.  Raises Refusal, which names the part at fault."""
    if not isinstance(given, list) or not given:
        raise bad_value("messages", "a list of messages that is not empty")
    return tuple(read_message(one, f"messages[{place}]") for place, one in enumerate(given))


def read_message(given: Any, where: str) -> dict[str, Any]:
    """One message as it is sent; ``where``: its place in the request, for what is refused."""
    if not isinstance(given, dict):
        raise bad_value(where, "an object")
    named = given.get("role")
    role = _ALIASES.get(named, named) if isinstance(named, str) else ""
    if role not in _KEYS:
        raise bad_value(f"{where}.role", "system, developer, user, assistant or tool")
    held = {
        key: value for key, value in given.items() if key != "role" and value not in (None, [], {})
    }
    for key in held:
        if key != "content" and key not in _KEYS[role]:
            raise unsupported(f"{where}.{key[:80]}", "hosts drop it before they sign")
    message: dict[str, Any] = {"role": role}
    calls = held.get("tool_calls")
    if calls is not None:
        message["tool_calls"] = _tool_calls(calls, f"{where}.tool_calls")
    if "content" in held:
        message["content"] = read_content(held["content"], role, f"{where}.content")
    elif role == "assistant" and calls:
        message["content"] = ""
    else:
        raise bad_value(f"{where}.content", "a text")
    for key in _KEYS[role] - {"tool_calls"}:
        if not isinstance(held.get(key), str):
            raise bad_value(f"{where}.{key}", "a text")
        message[key] = held[key]
    return message


def read_content(given: Any, role: str, where: str) -> str | list[dict[str, str]]:
    """A message's text; several texts of a user stay apart."""
    if isinstance(given, str):
        return given
    if not isinstance(given, list):
        raise bad_value(where, "a text or a list of text parts")
    texts = [_part(one, f"{where}[{place}]") for place, one in enumerate(given)]
    if role == "user" and len(texts) > 1:
        return [{"type": "text", "text": text} for text in texts]
    return "".join(texts)


def _part(given: Any, where: str) -> str:
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        raise bad_value(where, "an object with a type")
    kind = given["type"]
    if kind != "text":
        raise unsupported(f"{where}.{kind[:80]}", "hosts drop or refuse all parts but text")
    for key, value in given.items():
        if key not in ("type", "text") and value is not None:
            raise unsupported(f"{where}.{key[:80]}", "no signature covers it")
    if not isinstance(given.get("text"), str):
        raise bad_value(f"{where}.text", "a text")
    return str(given["text"])


def _tool_calls(given: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(given, list):
        raise bad_value(where, "a list")
    return [_tool_call(one, f"{where}[{place}]") for place, one in enumerate(given)]


def _tool_call(given: Any, where: str) -> dict[str, Any]:
    function = given.get("function") if isinstance(given, dict) else None
    if not isinstance(function, dict) or given.get("type", "function") != "function":
        raise bad_value(where, "a call of a function")
    for held, known, inside in (
        (given, ("id", "type", "function", "index"), ""),
        (function, ("name", "arguments"), ".function"),
    ):
        for key, value in held.items():
            if key not in known and value is not None:
                raise unsupported(f"{where}{inside}.{key[:80]}", "hosts drop it before they sign")
    parts = {"id": given.get("id"), **{key: function.get(key) for key in ("name", "arguments")}}
    for key, value in parts.items():
        if not isinstance(value, str):
            raise bad_value(f"{where}.{key}", "a text")
    return {
        "id": parts["id"],
        "type": "function",
        "function": {"name": parts["name"], "arguments": parts["arguments"]},
    }
