"""What was asked: all that the request holds, in words for a reader.

The host signed the whole request, not its last message alone: what stands before and after the
prompt, attachments and tools shape the answer as much.  So every report and card names them, and
what no signature covers besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import strict_json
from opg_magic.protocol import canonical

_OPTIONS = ("temperature", "max_tokens", "stop", "response_format", "web_search")
#: Longer texts are cut in a report for people; as JSON they are whole.
_MOST = 2000


@dataclass(frozen=True, slots=True)
class Turn:
    """A message as far as it is text; of other parts their kinds."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, taken apart.  ``prompt`` is the last user message (or a completion's prompt)."""

    kind: str
    model: str | None
    prompt: str | None
    before: tuple[Turn, ...] = ()
    after: tuple[Turn, ...] = ()
    attachments: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    not_signed: tuple[str, ...] = ()

    @property
    def system(self) -> tuple[str, ...]:
        return tuple(turn.text for turn in self.before if turn.role == "system")

    @property
    def earlier(self) -> tuple[Turn, ...]:
        return tuple(turn for turn in self.before if turn.role != "system")

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON data."""
        return {
            "model": self.model,
            "before": [{"role": turn.role, "text": turn.text} for turn in self.before],
            "prompt": self.prompt,
            "after": [{"role": turn.role, "text": turn.text} for turn in self.after],
            "attachments": list(self.attachments),
            "tools": list(self.tools),
            "options": dict(self.options),
            "not_signed": list(self.not_signed),
        }

    def beside(self, *, options: bool = True) -> Iterator[tuple[str, str]]:
        """(what, its text) of all but the prompt and what every request has, for a person."""
        for turn in self.before:
            yield (
                ("system message" if turn.role == "system" else f"before the prompt, {turn.role}"),
                turn.text,
            )
        for turn in self.after:
            yield f"after the prompt, {turn.role}", turn.text
        if self.attachments:
            yield "attachments", ", ".join(self.attachments)
        if self.tools:
            yield "tools", ", ".join(self.tools)
        for key, value in self.options.items() if options else ():
            if (key, value) != ("temperature", 0):
                yield key, strict_json.dumps_python(value)
        if self.not_signed:
            yield "not signed", ", ".join(self.not_signed)

    def lines(self) -> Iterator[str]:
        """All that was asked, one thing a line."""
        prompt = "no prompt" if self.prompt is None else _quoted(self.prompt)
        yield f"Asked of {self.model or 'no model'}: {prompt}"
        for what, text in self.beside():
            yield f"  {what}: {_quoted(text)}"


def _quoted(text: str) -> str:
    return (
        text
        if len(text) <= _MOST
        else f"{text[:_MOST]}… ({len(text):,} characters; --json has them all)"
    )


@lru_cache(maxsize=32)
def asked(kind: str, body: str, version: str = canonical.CANONICALISER) -> Asked | None:
    """What a request asks; None if it is not readable in one way only.

    ``version``: the rules by which its host hashed it.
    """
    try:
        parsed = strict_json.loads(body)
    except MalformedMessage:
        return None
    if not isinstance(parsed, dict):
        return None
    options = {key: parsed[key] for key in _OPTIONS if _is_given(key, parsed.get(key))}
    parts = canonical.unsigned_parts(
        "completion" if kind == "completion" else "chat", parsed, version
    )
    unsigned = tuple(name for name in parts if name not in canonical.TRANSPORT)
    model = parsed.get("model")
    model = model if isinstance(model, str) else None
    if kind == "completion":
        prompt = parsed.get("prompt")
        return Asked(
            kind,
            model,
            prompt if isinstance(prompt, str) else None,
            options=options,
            not_signed=unsigned,
        )
    held = parsed.get("messages")
    messages = [m for m in held if isinstance(m, dict)] if isinstance(held, list) else []
    last = max((place for place, m in enumerate(messages) if m.get("role") == "user"), default=None)
    tools = parsed.get("tools")
    return Asked(
        kind,
        model,
        None if last is None else text_of(messages[last].get("content")),
        before=tuple(_turn(m) for m in messages[:last]),
        after=() if last is None else tuple(_turn(m) for m in messages[last + 1 :]),
        attachments=tuple(kind for m in messages for kind in _attachments(m.get("content"))),
        tools=tuple(_tool(tool) for tool in tools) if isinstance(tools, list) else (),
        options=options,
        not_signed=unsigned,
    )


def _is_given(key: str, value: Any) -> bool:
    # Nothing, and what is empty, is left out by hosts; of this key it is signed as it stands.
    return bool(value) or (key == "max_tokens" and value is not None)


def text_of(content: Any) -> str | None:
    """The text of a message's content: a string, or the text parts of a list; None if it is
    neither."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [p.get("text") for p in content if isinstance(p, dict) and p.get("type") == "text"]
        return "".join(p for p in parts if isinstance(p, str))
    return None


def _turn(message: Mapping[str, Any]) -> Turn:
    role, content = message.get("role"), message.get("content")
    text = text_of(content)
    if text is None:
        text = "" if content is None else strict_json.dumps_python(content)
    calls = message.get("tool_calls")
    if calls:
        text = (
            f"{text} {strict_json.dumps_python(calls)}" if text else strict_json.dumps_python(calls)
        )
    return Turn(role if isinstance(role, str) else "?", text)


def _attachments(content: Any) -> Iterator[str]:
    """Kinds of the parts that are no text, of text that is none, and of text that brings more
    along."""
    for part in content if isinstance(content, list) else []:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text":
            yield kind if isinstance(kind, str) else "a part of no kind"
        elif not isinstance(part.get("text"), str):
            yield "text that is none"
        elif set(part) != {"type", "text"}:
            yield "text with more"


def _tool(tool: Any) -> str:
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else "unnamed"


__all__ = ["Asked", "Turn", "asked", "text_of"]
