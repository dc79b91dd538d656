"""What answers for a host, and the parts of an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from opg_magic.models import Kind

#: What the scripted model puts into the unsigned ``model`` field of its answers, whichever model
#: was asked for.
SCRIPTED_MODEL = "scripted-model"

#: What a host uses when a request says ``max_tokens: 0`` or nothing at all.
DEFAULT_MAX_TOKENS = 4096


class ModelDown(Exception):
    """The provider behind a host did not answer: a host turns it into HTTP 500, or an error frame
    in mid-stream."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted by the model: unsigned, the host's word."""

    prompt_tokens: int
    completion_tokens: int

    def document(self) -> dict[str, int]:
        """The ``usage`` object of an answer."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: text, or tool calls as ``{id, type, function: {name, arguments}}``.

    ``pieces`` joined give ``text``; they are what a stream sends one by one.
    """

    pieces: tuple[str, ...]
    usage: Usage
    model: str = SCRIPTED_MODEL
    tool_calls: tuple[Mapping[str, Any], ...] = ()

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)

    @property
    def finish_reason(self) -> str:
        """Why it ended, in the two words that hosts know."""
        return "tool_calls" if self.tool_calls else "stop"


@dataclass(frozen=True, slots=True)
class Delta:
    """One step of a stream: more text, parts of tool calls, or (once, last) the end with its
    usage."""

    text: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str = SCRIPTED_MODEL


class Model(Protocol):
    """What answers for a host: the scripted model, weights on this machine, or a relay to another
    server.

    ``about`` says for people what answers.  ``model`` is the name that prompts ask for it by, None
    where it has none of its own.  ``any_model``: it may be asked for models that no host lists."""

    about: str
    model: str | None
    any_model: bool

    async def open(self) -> None:
        """Make ready to answer.  Raises SimnetError if that cannot be."""
        ...

    async def reply(self, body: Mapping[str, Any], kind: Kind) -> Reply:
        """The whole answer at once.  ModelDown if there is none."""
        ...

    def stream(self, body: Mapping[str, Any], kind: Kind) -> AsyncIterator[Delta]:
        """The answer step by step; the last step has a ``finish_reason``.  ModelDown where it
        breaks off."""
        ...

    async def swapped(self, how: Literal["another", "coarser"]) -> Model:
        """Other weights under this model's name.  ModelDown where there are none."""
        ...

    async def close(self) -> None: ...
