"""Which bodies a host refuses before it hashes anything.

Real gateways check them against the OpenAI API's own description, in JSON Schema of draft 4 (where
100.0 is no integer), and name the first fault.  Here are the parts of it that decide; keys that it
does not know pass."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from opg_magic.models import Kind

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def problem_in(body: Any, kind: Kind) -> str | None:
    """Why a host answers this body with 400, in its own words, or None."""
    for error in _validator(kind).iter_errors(body):
        words = error.message
        if error.validator == "type" and isinstance(error.validator_value, list):
            # Theirs is a type that may be null, which they do not mention.
            words = f"{error.instance!r} is not of type {error.validator_value[0]!r}"
        path = ".".join(str(step) for step in error.absolute_path)
        return f"{words} - '{path}'" if path else words
    return None


@cache
def _validator(kind: Kind) -> Validator:
    from jsonschema import Draft4Validator

    return Draft4Validator(_CHAT if kind == "chat" else _COMPLETION)


def _maybe(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], **more}


def _listed(items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"properties": properties, "required": sorted(required.split()), "type": "object"}


def _one(word: str) -> dict[str, Any]:
    return {"enum": [word], "type": "string"}


_TEXT = {"type": "string"}
_TEXT_PART = _object("text type", type=_one("text"), text=_TEXT)
_PARTS = _listed(
    {
        "oneOf": [
            _TEXT_PART,
            _object("image_url type", type=_one("image_url"), image_url=_object("url", url=_TEXT)),
            _object(
                "input_audio type",
                type=_one("input_audio"),
                input_audio=_object(
                    "data format", data=_TEXT, format={"enum": ["wav", "mp3"], "type": "string"}
                ),
            ),
        ]
    },
    minItems=1,
)
_TEXTS = {"oneOf": [_TEXT, _listed(_TEXT_PART, minItems=1)]}
_TOOL_CALL = _object(
    "function id type",
    id=_TEXT,
    type=_one("function"),
    function=_object("name arguments", name=_TEXT, arguments=_TEXT),
)
_ANSWERED = {
    "oneOf": [
        _maybe("string"),
        _listed(
            {"oneOf": [_TEXT_PART, _object("refusal type", type=_one("refusal"), refusal=_TEXT)]},
            minItems=1,
        ),
    ]
}

_MESSAGE = {
    "oneOf": [
        _object("content role", content=_TEXTS, role=_one("developer"), name=_TEXT),
        _object("content role", content=_TEXTS, role=_one("system"), name=_TEXT),
        _object("content role", content={"oneOf": [_TEXT, _PARTS]}, role=_one("user"), name=_TEXT),
        _object(
            "role",
            content=_ANSWERED,
            refusal=_maybe("string"),
            role=_one("assistant"),
            name=_TEXT,
            tool_calls=_listed(_TOOL_CALL),
        ),
        _object("content role tool_call_id", role=_one("tool"), content=_TEXTS, tool_call_id=_TEXT),
        _object("content name role", role=_one("function"), content=_maybe("string"), name=_TEXT),
    ]
}

_TOOL = _object(
    "function type",
    type=_one("function"),
    function=_object(
        "name",
        description=_TEXT,
        name=_TEXT,
        parameters={"type": "object"},
        strict=_maybe("boolean"),
    ),
)
_NAMED_TOOL = _object("function type", type=_one("function"), function=_object("name", name=_TEXT))
_SCHEMA = _object(
    "name", description=_TEXT, name=_TEXT, schema={"type": "object"}, strict=_maybe("boolean")
)
_STOP = {"oneOf": [_maybe("string"), _listed(_TEXT, minItems=1, maxItems=4)]}

#: What chat and completions have in common.
_COMMON: dict[str, Any] = {
    "model": {"anyOf": [_TEXT]},
    "frequency_penalty": _maybe("number", minimum=-2, maximum=2),
    "logit_bias": _maybe("object", additionalProperties={"type": "integer"}),
    "n": _maybe("integer", minimum=1, maximum=128),
    "presence_penalty": _maybe("number", minimum=-2, maximum=2),
    "seed": _maybe("integer"),
    "stop": _STOP,
    "stream": _maybe("boolean"),
    "stream_options": _maybe("object", properties={"include_usage": {"type": "boolean"}}),
    "temperature": _maybe("number", minimum=0, maximum=2),
    "top_p": _maybe("number", minimum=0, maximum=1),
    "user": _TEXT,
}

_CHAT: dict[str, Any] = {
    "properties": {
        "messages": _listed(_MESSAGE, minItems=1),
        **_COMMON,
        "store": _maybe("boolean"),
        "reasoning_effort": {"enum": ["low", "medium", "high"], "type": "string"},
        "metadata": _maybe("object", additionalProperties=_TEXT),
        "logprobs": _maybe("boolean"),
        "top_logprobs": _maybe("integer", minimum=0, maximum=20),
        "max_tokens": _maybe("integer"),
        "max_completion_tokens": _maybe("integer"),
        "modalities": _maybe("array", items={"enum": ["text", "audio"], "type": "string"}),
        "response_format": {
            "oneOf": [
                _object("type", type=_one("text")),
                _object("type", type=_one("json_object")),
                _object("json_schema type", type=_one("json_schema"), json_schema=_SCHEMA),
            ]
        },
        "service_tier": _maybe("string", enum=["auto", "default", None]),
        "tools": _listed(_TOOL),
        "tool_choice": {
            "oneOf": [{"enum": ["none", "auto", "required"], "type": "string"}, _NAMED_TOOL]
        },
        "parallel_tool_calls": {"type": "boolean"},
    },
    "required": ["model", "messages"],
    "type": "object",
}

_COMPLETION: dict[str, Any] = {
    "properties": {
        **_COMMON,
        "prompt": {
            "oneOf": [
                _maybe("string"),
                _listed(_TEXT),
                _listed({"type": "integer"}, minItems=1),
                _listed(_listed({"type": "integer"}, minItems=1), minItems=1),
            ]
        },
        "best_of": _maybe("integer", minimum=0, maximum=20),
        "echo": _maybe("boolean"),
        "logprobs": _maybe("integer", minimum=0, maximum=5),
        "max_tokens": _maybe("integer", minimum=0),
        "suffix": _maybe("string"),
    },
    "required": ["model", "prompt"],
    "type": "object",
}
