"""Reads a request for a chat completion: all of it becomes a prompt, or is refused by name.

Nothing is left out in silence.  A parameter at its default asks for nothing, so it may stand
there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opg_magic.call.naming import model_for
from opg_magic.endpoint.messages import read_messages
from opg_magic.endpoint.refusal import Refusal, bad_value, unsupported
from opg_magic.errors import ArgumentError, MalformedMessage
from opg_magic.models import MAX_TEMPERATURE, MAX_TOKENS, Prompt, arguments, strict_json
from opg_magic.protocol.canonical import CHAT_KEYS
from opg_magic.settings.config import Settings

#: What a request may hold.
_READ = frozenset(
    {
        "model", "messages", "stream", "stream_options", "temperature", "top_p", "seed",
        "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", "response_format",
    }
)  # fmt: skip
#: Not carried; at this value it changes nothing.
_DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "metadata": ({},),
    "modalities": (["text"],),
    "parallel_tool_calls": (True,),
    "service_tier": ("auto", "default"),
    "store": (False,),
}
_INT64 = 2**63
#: What a function and a schema consist of, here and in requests for responses.
_MEMBERS: Mapping[str, tuple[type, str]] = {
    "name": (str, "a text"),
    "description": (str, "a text"),
    "parameters": (dict, "an object"),
    "schema": (dict, "an object"),
    "strict": (bool, "true or false"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it was read, of either kind.  ``unsent``: what was accepted and is not sent,
    because an answer is the same without it."""

    prompt: Prompt
    unsent: tuple[str, ...]

    @property
    def stream(self) -> bool:
        """Whether the answer is told in events."""
        return self.prompt.stream

    @property
    def unsigned(self) -> tuple[str, ...]:
        """What was asked and no host's signature covers."""
        return tuple(sorted(set(self.prompt.extra) - set(CHAT_KEYS)))

    @property
    def has_tools(self) -> bool:
        """Whether the answer may be a tool call, beside which no text is signed."""
        return bool(self.prompt.extra.get("tools"))


@dataclass(frozen=True, slots=True)
class ChatRequest(Asked):
    """A request for a chat completion.  ``include_usage``: a stream ends with the tokens."""

    include_usage: bool


def read_request(raw: bytes, settings: Settings, network: str | None) -> ChatRequest:
    """Read a request's body.  Raises Refusal (400, 404); nothing was sent."""
    body = known(json_object(raw), _READ, _DEFAULTS)
    # First, as OpenAI has it: an unknown model is a 404 whatever else is wrong.
    model = model_name(body, settings, network)
    prompt = prompt_of(body, model, read_messages(body.get("messages")))
    return ChatRequest(prompt, (), _include_usage(body, prompt.stream))


def prompt_of(
    body: Mapping[str, Any], model: str, messages: tuple[Mapping[str, Any], ...]
) -> Prompt:
    """The prompt that a chat request's other parameters make of its messages.  Raises Refusal."""
    stream = _flag(body, "stream")
    extra = {**_tools(body), **_form(body), **_sampling(body)}
    try:
        return Prompt(
            text=_last_user_text(messages),
            model=model,
            messages=messages,
            temperature=_maybe(body, "temperature", _temperature),
            max_tokens=_max_tokens(body),
            stop=_stops(body.get("stop")),
            extra=extra,
            stream=stream,
        )
    except ArgumentError as problem:
        raise Refusal(400, problem.message, code="invalid_value") from None


def json_object(raw: bytes) -> dict[str, Any]:
    """A request's body.  Raises Refusal for one that two readers could read differently."""
    try:
        given = strict_json.loads(raw)
    except MalformedMessage as problem:
        raise Refusal(
            400, f"The request cannot be read: {problem.message}. Nothing was sent."
        ) from None
    if not isinstance(given, dict):
        raise Refusal(400, "The request is not a JSON object. Nothing was sent.")
    return given


def known(
    given: Mapping[str, Any], read: frozenset[str], defaults: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """A request without its nulls.  Raises Refusal for a parameter that is neither ``read`` nor at
    its default."""
    for name, value in given.items():
        if name in read or value is None:
            continue
        if any(_same(value, default) for default in defaults.get(name, ())):
            continue
        raise unsupported(name[:80])
    return {key: value for key, value in given.items() if value is not None}


def _same(value: Any, default: Any) -> bool:
    return isinstance(value, bool) == isinstance(default, bool) and bool(value == default)


def model_name(body: Mapping[str, Any], settings: Settings, network: str | None) -> str:
    """The model's full name.  Raises Refusal (404 for one that is not known)."""
    name = body.get("model")
    if not isinstance(name, str) or not name.strip():
        raise bad_value("model", "the name of a model")
    try:
        return model_for(name, settings, network)
    except ArgumentError as problem:
        raise Refusal(
            404,
            "\n".join(filter(None, (problem.message, problem.hint))),
            code="model_not_found",
            param="model",
        ) from None


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise bad_value(name, "true or false")
    return value


def _maybe(body: Mapping[str, Any], name: str, read: Callable[[str, Any], Any]) -> Any:
    return read(name, body[name]) if name in body else None


def _temperature(name: str, value: Any) -> float:
    try:
        return arguments.number(name, value, 0, MAX_TEMPERATURE)
    except ArgumentError:
        raise bad_value(name, f"a number from 0 to {MAX_TEMPERATURE:g}") from None


def tokens(name: str, value: Any) -> int:
    """A bound on an answer's tokens.  Raises Refusal, which names the parameter."""
    try:
        return arguments.whole(name, value, 1, MAX_TOKENS)
    except ArgumentError:
        raise bad_value(name, f"a whole number from 1 to {MAX_TOKENS}") from None


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    """Of the two names for it, hosts sign ``max_tokens`` and ignore the other."""
    old = _maybe(body, "max_tokens", tokens)
    new = _maybe(body, "max_completion_tokens", tokens)
    if old is not None and new is not None and old != new:
        raise bad_value("max_completion_tokens", "the same as max_tokens, or left out")
    found: int | None = new if old is None else old
    return found


def _stops(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list) or len(listed) > 4:
        raise bad_value("stop", "a text, or a list of at most 4")
    if not all(isinstance(one, str) and one for one in listed):
        raise bad_value("stop", "a text that is not empty, or a list of them")
    return tuple(listed)


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    tools, choice = body.get("tools", []), body.get("tool_choice")
    if not isinstance(tools, list) or not all(isinstance(one, dict) for one in tools):
        raise bad_value("tools", "a list of objects")
    if any(one.get("type") != "function" for one in tools):
        raise unsupported("tools", "hosts take functions only")
    names = {_function_name(one) for one in tools}
    if None in names:
        raise bad_value("tools", "functions, each with a name")
    for place, one in enumerate(tools):
        check_members(one["function"], f"tools[{place}].function")
    if choice is None or choice == "auto":
        return {"tools": tools} if tools else {}
    if choice == "none":
        # What was never offered is not chosen, whatever the host makes of the word.
        return {}
    named = _function_name(choice) if isinstance(choice, dict) else None
    if choice != "required" and (named is None or choice.get("type") != "function"):
        raise bad_value("tool_choice", "none, auto, required, or one function by its name")
    if not tools or (named is not None and named not in names):
        raise bad_value("tool_choice", "one of the tools of this request")
    return {"tools": tools, "tool_choice": choice}


def _function_name(value: Mapping[str, Any]) -> str | None:
    function = value.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) and name.strip() else None


def check_members(given: Mapping[str, Any], where: str) -> None:
    """Of a function or a schema.  Raises Refusal: a provider would refuse it after the payment was
    signed."""
    for key, (kind, meant) in _MEMBERS.items():
        if given.get(key) is not None and not isinstance(given[key], kind):
            raise bad_value(f"{where}.{key}", meant)


def _form(body: Mapping[str, Any]) -> dict[str, Any]:
    form = body.get("response_format")
    if form is None or form == {"type": "text"}:
        return {}
    kind = form.get("type") if isinstance(form, dict) else None
    if kind not in ("json_object", "json_schema"):
        raise bad_value("response_format", "an object of type text, json_object or json_schema")
    schema = form.get("json_schema")
    if kind == "json_schema" and not (
        isinstance(schema, dict) and isinstance(schema.get("name"), str)
    ):
        raise bad_value("response_format", "given with json_schema, an object with a name")
    if kind == "json_schema":
        check_members(schema, "response_format.json_schema")
    return {"response_format": form}


def _sampling(body: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    top_p, seed = body.get("top_p"), body.get("seed")
    if top_p is not None:
        if isinstance(top_p, bool) or not isinstance(top_p, int | float) or not 0 < top_p <= 1:
            raise bad_value("top_p", "a number above 0, at most 1")
        if top_p != 1:
            found["top_p"] = top_p
    if seed is not None:
        if type(seed) is not int or not -_INT64 <= seed < _INT64:
            raise bad_value("seed", "a whole number of 64 bits")
        found["seed"] = seed
    return found


def _include_usage(body: Mapping[str, Any], stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not stream:
        raise bad_value("stream_options", "left out where stream is not true")
    if not isinstance(options, dict):
        raise bad_value("stream_options", "an object")
    for name, value in options.items():
        if name != "include_usage" and value not in (None, False):
            raise unsupported(f"stream_options.{name[:80]}")
    value = options.get("include_usage") or False
    if not isinstance(value, bool):
        raise bad_value("stream_options.include_usage", "true or false")
    return value


def _last_user_text(messages: tuple[Mapping[str, Any], ...]) -> str:
    for message in reversed(messages):
        if message["role"] == "user" and isinstance(message["content"], str):
            return message["content"]
    return ""
