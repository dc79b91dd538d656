"""The built-in scripted model: deterministic, small, and honest about what it is.

It answers a few plain questions, does arithmetic, tests primes, calls tools whose name the prompt
mentions, and makes instances of JSON schemas.  Two equal requests get equal answers, whatever the
temperature, so that a demonstration, a test and a lesson always show the same.  Like the hosts it
stands in for, it never applies ``stop`` and takes ``max_tokens: 0`` as 4096, as recorded in April
2026.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opg_magic.models import Kind
from opg_magic.simnet.model.instances import instance
from opg_magic.simnet.model.interface import (
    DEFAULT_MAX_TOKENS,
    Delta,
    Model,
    ModelDown,
    Reply,
    Usage,
)
from opg_magic.simnet.model.knowledge import reply_to
from opg_magic.simnet.model.tokens import count_tokens, split_tokens


@dataclass
class ScriptedModel:
    """The built-in model.  ``token_delay`` is the pause before each token, in seconds."""

    token_delay: float = 0.015
    about: str = field(default="scripted", init=False)
    model: str | None = field(default=None, init=False)
    any_model: bool = field(default=False, init=False)

    async def reply(self, body: Mapping[str, Any], kind: Kind) -> Reply:
        """See :class:`~opg_magic.simnet.model.interface.Model`."""
        # A whole answer takes as long as its tokens would, but never long: nobody watches it grow.
        reply = answer(body, kind)
        await asyncio.sleep(
            min(self.token_delay * len(reply.pieces), 0.25 if self.token_delay < 0.1 else 30.0)
        )
        return reply

    async def stream(self, body: Mapping[str, Any], kind: Kind) -> AsyncIterator[Delta]:
        """See :class:`~opg_magic.simnet.model.interface.Model`."""
        reply = answer(body, kind)
        for index, call in enumerate(reply.tool_calls):
            yield Delta(
                tool_calls=(
                    {**call, "index": index, "function": {**call["function"], "arguments": ""}},
                )
            )
            for piece in split_tokens(call["function"]["arguments"]):
                await asyncio.sleep(self.token_delay)
                yield Delta(tool_calls=({"index": index, "function": {"arguments": piece}},))
        for piece in reply.pieces:
            await asyncio.sleep(self.token_delay)
            yield Delta(text=piece)
        yield Delta(finish_reason=reply.finish_reason, usage=reply.usage)

    async def open(self) -> None:
        """Nothing to load."""

    async def swapped(self, how: str) -> Model:
        raise ModelDown("only a model whose weights are here can be swapped for another")

    async def close(self) -> None:
        """Nothing to release."""


# --------------------------------------------------------------------------------------- one answer


def answer(body: Mapping[str, Any], kind: Kind) -> Reply:
    """The scripted model's answer to a validated request body: the same for the same body."""
    limit = int(body.get("max_tokens") or DEFAULT_MAX_TOKENS)
    if kind == "completion":
        prompt = str(body.get("prompt", ""))
        return _text_reply(_complete(prompt), limit, prompt_tokens=count_tokens(prompt))

    messages: Sequence[Mapping[str, Any]] = body.get("messages", ())
    prompt_tokens = sum(count_tokens(_content(message)) + 4 for message in messages) + 3
    system = " ".join(_content(m) for m in messages if m.get("role") == "system")
    question = next((_content(m) for m in reversed(messages) if m.get("role") == "user"), "")
    last = messages[-1] if messages else {}

    if last.get("role") == "tool":
        return _text_reply(_styled(_after_tool(messages), system), limit, prompt_tokens)

    wanted = _wanted_tool(body.get("tools") or (), question)
    if wanted is not None:
        arguments = json.dumps(instance(wanted.get("parameters") or {}, question))
        name = str(wanted["name"])
        call_id = (
            "call_" + hashlib.sha256(f"{name}\n{arguments}\n{question}".encode()).hexdigest()[:24]
        )
        call = {
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        return Reply((), Usage(prompt_tokens, count_tokens(name + arguments)), tool_calls=(call,))

    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema") or {}
        return _text_reply(
            json.dumps(instance(schema, question), ensure_ascii=False), limit, prompt_tokens
        )
    text = _styled(reply_to(question, system), system)
    if form.get("type") == "json_object":
        text = json.dumps({"answer": text}, ensure_ascii=False)
    return _text_reply(text, limit, prompt_tokens)


def _text_reply(text: str, limit: int, prompt_tokens: int) -> Reply:
    pieces = tuple(split_tokens(text)[:limit])
    return Reply(pieces, Usage(prompt_tokens, len(pieces)))


def _content(message: Mapping[str, Any]) -> str:
    """A message's text; of a list of parts only the text counts (hosts of April 2026 drop
    images)."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(
            str(p.get("text", ""))
            for p in content
            if isinstance(p, Mapping) and p.get("type") == "text"
        )
    return content if isinstance(content, str) else ""


def _styled(text: str, system: str) -> str:
    """A system prompt is honoured lightly: brevity, capitals, a pirate."""
    wish = system.lower()
    if re.search(r"\b(brief|briefly|short|concise|one sentence|tersely?)\b", wish):
        text = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
    if re.search(r"\bone word\b", wish):
        text = (re.findall(r"\w[\w.]*", text) or [text])[0].rstrip(".")
    if "pirate" in wish:
        text = "Arr! " + text
    if re.search(r"\b(upper ?case|capitals|all caps)\b", wish):
        text = text.upper()
    return text


def _complete(prompt: str) -> str:
    if re.search(r"once upon( a time)?\W*$", prompt, re.IGNORECASE):
        start = "" if re.search(r"a time\W*$", prompt, re.IGNORECASE) else " a time"
        return (
            start
            + " there was a small machine that signed every word it said, and so nobody had to "
            "trust it."
        )
    return " " + reply_to(prompt, "")


def _after_tool(messages: Sequence[Mapping[str, Any]]) -> str:
    results = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        results.append(_content(message))
    told = "; ".join(reversed(results))
    return f"The tool answered: {told}"


def _wanted_tool(tools: Sequence[Any], question: str) -> Mapping[str, Any] | None:
    """The offered tool that the prompt mentions, whole or by a telling word ("weather" of
    "get_weather")."""
    asked = question.lower()
    functions = [
        t.get("function") or {}
        for t in tools
        if isinstance(t, Mapping) and t.get("type") == "function"
    ]
    named = [f for f in functions if isinstance(f.get("name"), str) and f["name"]]
    for function in named:
        if function["name"].lower() in asked:
            return function
    plain = {
        "get",
        "set",
        "the",
        "find",
        "list",
        "fetch",
        "make",
        "run",
        "call",
        "do",
        "look",
        "up",
        "search",
        "for",
    }
    for function in named:
        words = [
            w
            for w in re.split(
                r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", function["name"]).lower()
            )
            if w
        ]
        if any(
            len(w) > 2 and w not in plain and re.search(rf"\b{re.escape(w)}", asked) for w in words
        ):
            return function
    return None
