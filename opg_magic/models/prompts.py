"""What the user asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from opg_magic.models import arguments

Kind = Literal["chat", "completion"]

#: A way to the hosts: to each directly, paid from the wallet, or sealed through a relay that pays.
RouteName = Literal["direct", "private"]

#: How a call's hashes go on a chain, if they do.  What a call may ask for.
SettleChoice = Literal["private", "batch"]
#: What a receipt may state: ``individual``, which published prompt and answer in plain text, cannot
#: be asked for now.
SettlementMode = Literal["private", "batch", "individual"]

#: Hottest sampling that hosts take, and the longest answer that a request may ask for (exact in
#: every JSON reader).
MAX_TEMPERATURE = 2.0
MAX_TOKENS = 2**31 - 1

CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/v1/completions"


@dataclass(frozen=True, slots=True)
class Earlier:
    """A call whose prompt and answer a later request sends again: its receipt, that receipt's
    digest as it was made, and how many messages of the later request come from it."""

    receipt_id: str
    digest: str
    messages: int


@dataclass(frozen=True, slots=True)
class Thread:
    """The conversation that a request continues.

    ``name`` is that of the chat, None where there is none (rounds of tools).  After its system
    messages, the request begins with the messages of ``earlier``, in order; the last message of
    each is that call's answer."""

    name: str | None = None
    earlier: tuple[Earlier, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the user asks, before any host is known.

    ``text`` is the rendered prompt, sent raw.  ``template`` and ``variables`` are set where
    ``--vars`` filled names in. ``source`` is the cell's whole source (only its hash is kept).
    ``thread`` says from which calls ``messages`` come.
    ``extra`` carries further keys of a chat body that a caller of the Python interface gives
    (``tools``, ``response_format``).  ``messages`` overrides system and text.

    However it is made, it holds canonical values (a NumPy scalar is the number that it is), or
    :class:`opg_magic.errors.ArgumentError` is raised.
    """

    text: str
    model: str
    system: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = True
    kind: Kind = "chat"
    settle: SettleChoice = "private"
    template: str | None = None
    variables: tuple[str, ...] = ()
    source: str | None = None
    thread: Thread | None = None

    def __post_init__(self) -> None:
        for name, value in _canonical(self).items():
            object.__setattr__(self, name, value)


def _canonical(prompt: Prompt) -> dict[str, Any]:
    """A prompt's fields as they may be sent and kept.  What hosts take besides, the request's body
    checks."""
    given, optional = prompt, arguments.optional_text
    heat, max_tokens, messages = given.temperature, given.max_tokens, given.messages
    return {
        "text": arguments.text("prompt", given.text, empty=True),
        "model": arguments.text("model", given.model, empty=True),
        "system": optional("system", given.system, empty=True),
        "messages": None if messages is None else arguments.objects("messages", messages),
        "temperature": None
        if heat is None
        else arguments.number("temperature", heat, 0, MAX_TEMPERATURE),
        "max_tokens": None
        if max_tokens is None
        else arguments.whole("max_tokens", max_tokens, 1, MAX_TOKENS),
        "stop": arguments.texts("stop", given.stop),
        "extra": arguments.mapping("extra", given.extra),
        "stream": arguments.flag("stream", given.stream),
        "kind": arguments.choice("kind", given.kind, arguments.KINDS),
        # Exactly one of two words goes into the header: a host takes an unknown one for "batch",
        # older ones publish the prompt for "individual" in any case of its letters.
        "settle": arguments.choice("settle", given.settle, arguments.SETTLEMENTS),
        "template": optional("template", given.template, empty=True),
        "variables": arguments.texts("variables", given.variables),
        "source": optional("source", given.source, empty=True),
    }
