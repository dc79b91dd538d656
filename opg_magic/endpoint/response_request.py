"""Reads a request for a response: OpenAI's newer words for what a chat request says, and refused
by name where it says more.

Nothing is kept here between two requests, so what refers to an earlier one is refused, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opg_magic.endpoint.chat_request import (
    Asked,
    check_members,
    json_object,
    known,
    model_name,
    prompt_of,
    tokens,
)
from opg_magic.endpoint.input_items import read_input
from opg_magic.endpoint.refusal import bad_value, unsupported
from opg_magic.settings.config import Settings

#: What a request may hold.
_READ = frozenset(
    {
        "model", "input", "instructions", "stream", "stream_options", "temperature", "top_p",
        "max_output_tokens", "text", "reasoning", "tools", "tool_choice", "metadata", "include",
    }
)  # fmt: skip
#: Not carried; at this value it changes nothing.
_DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "background": (False,),
    "parallel_tool_calls": (True,),
    "service_tier": ("auto", "default"),
    # Nothing is kept, whatever is asked, and the answer says so.
    "store": (False, True),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}
#: They change no word of an answer: hints for OpenAI's caches and logs.
_HINTS: Mapping[str, type] = {
    "prompt_cache_key": str,
    "prompt_cache_retention": str,
    "client_metadata": dict,
}
#: The same words in both kinds of request.
_ALIKE = ("temperature", "top_p", "stream")
_FUNCTION = ("name", "description", "parameters", "strict")
_SCHEMA = ("name", "description", "schema", "strict")


@dataclass(frozen=True, slots=True)
class ResponseRequest(Asked):
    """A request for a response.  ``told``: what of it an answer repeats, as it was given."""

    told: Mapping[str, Any]


def read_response_request(raw: bytes, settings: Settings, network: str | None) -> ResponseRequest:
    """Read a request's body.  Raises Refusal (400, 404); nothing was sent."""
    body = known(json_object(raw), _READ | _HINTS.keys(), _DEFAULTS)
    model = model_name(body, settings, network)
    instructions = body.get("instructions")
    if not isinstance(instructions, str | None):
        raise bad_value("instructions", "a text")
    messages = read_input(body.get("input"), instructions)
    unsent = _unsent(body)
    for key, value in _members(body, "stream_options").items():
        if (key, value) != ("include_obfuscation", False):
            raise unsupported(f"stream_options.{key[:80]}")
    chat = {key: body[key] for key in _ALIKE if key in body}
    chat |= {**_tools(body), **_form(body)}
    most = body.get("max_output_tokens")
    if most is not None:
        chat["max_tokens"] = tokens("max_output_tokens", most)
    prompt = prompt_of(chat, model, messages)
    return ResponseRequest(
        prompt,
        unsent,
        {
            "instructions": instructions,
            "max_output_tokens": most,
            "metadata": _metadata(body),
            "temperature": prompt.temperature or 0.0,
            "text": {"format": _format(body) or {"type": "text"}},
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools", []),
            "top_p": body.get("top_p", 1.0),
        },
    )


def _members(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What an object gives, without its nulls."""
    given = body.get(name, {})
    if not isinstance(given, dict):
        raise bad_value(name, "an object")
    return {key: value for key, value in given.items() if value is not None}


def _unsent(body: Mapping[str, Any]) -> tuple[str, ...]:
    """What is accepted and not sent, because an answer is the same without it."""
    for key, kind in _HINTS.items():
        if not isinstance(body.get(key, kind()), kind):
            raise bad_value(key, "a text" if kind is str else "an object")
    found = {key for key in (*_HINTS, "metadata") if body.get(key)}
    include = body.get("include", [])
    if not isinstance(include, list):
        raise bad_value("include", "a list")
    for place, one in enumerate(include):
        if one != "reasoning.encrypted_content":
            raise unsupported(f"include[{place}]")
        found.add("include")
    for key in _members(body, "reasoning"):
        # A host tells nothing of how a model reasons, so there is no summary either.
        if key not in ("summary", "generate_summary"):
            raise unsupported(f"reasoning.{key[:80]}")
        found.add(f"reasoning.{key}")
    return tuple(sorted(found))


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    """Functions and the choice among them in a chat request's form, which is checked there."""
    tools, choice = body.get("tools"), body.get("tool_choice")
    found: dict[str, Any] = {}
    if isinstance(tools, list):
        tools = [_tool(one, f"tools[{place}]") for place, one in enumerate(tools)]
    if tools is not None:
        found["tools"] = tools
    if isinstance(choice, dict):
        if choice.get("type") != "function":
            raise unsupported("tool_choice", "hosts take functions only")
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    if choice is not None:
        found["tool_choice"] = choice
    return found


def _tool(given: Any, where: str) -> dict[str, Any]:
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        raise bad_value(where, "an object with a type")
    if given["type"] != "function":
        raise unsupported(f"{where}.{given['type'][:80]}", "hosts take functions only")
    if not isinstance(given.get("name"), str) or not given["name"].strip():
        raise bad_value(f"{where}.name", "a text that is not empty")
    check_members(given, where)
    return {"type": "function", "function": _picked(given, _FUNCTION, where)}


def _form(body: Mapping[str, Any]) -> dict[str, Any]:
    form = _format(body)
    if form is None or form["type"] == "text":
        return {}
    if form["type"] == "json_object":
        return {"response_format": {"type": "json_object"}}
    schema = _picked(form, _SCHEMA, "text.format")
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _format(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    text = _members(body, "text")
    for key, value in text.items():
        if key != "format" and (key, value) != ("verbosity", "medium"):
            raise unsupported(f"text.{key[:80]}")
    form = text.get("format")
    if form is None:
        return None
    kind = form.get("type") if isinstance(form, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise bad_value("text.format", "an object of type text, json_object or json_schema")
    if kind == "json_schema":
        check_members(form, "text.format")
        if not (form.get("name") or "").strip() or form.get("schema") is None:
            raise bad_value("text.format", "given with a name and a schema")
    else:
        _picked(form, (), "text.format")
    return dict(form)


def _picked(given: Mapping[str, Any], read: tuple[str, ...], where: str) -> dict[str, Any]:
    """What of an object is carried, in its own order.  A member that asks for nothing may stand
    there."""
    for key, value in given.items():
        if key not in (*read, "type") and value is not None and value is not False:
            raise unsupported(f"{where}.{key[:80]}")
    return {key: value for key, value in given.items() if key in read and value is not None}


def _metadata(body: Mapping[str, Any]) -> Mapping[str, str]:
    """Goes to nobody: an answer repeats it."""
    given = body.get("metadata", {})
    if (
        not isinstance(given, dict)
        or len(given) > 16
        or any(len(key) > 64 for key in given)
        or not all(isinstance(value, str) and len(value) <= 512 for value in given.values())
    ):
        raise bad_value("metadata", "at most 16 texts of at most 512 characters, by name")
    return given
