"""The engine from Python: ``ask``, ``aask``, ``receipts``, ``dashboard``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from opg_magic.errors import ConfigError, PromptError
from opg_magic.models import Answer, Kind, Prompt
from opg_magic.networks import OPG_DECIMALS

if TYPE_CHECKING:
    import pandas as pd

    from opg_magic.call import CallOptions
    from opg_magic.session import Session


def ask(
    prompt: str | Sequence[Mapping[str, Any]],
    *,
    model: str | None = None,
    system: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    stop: str | Sequence[str] = (),
    tools: Sequence[Mapping[str, Any]] | None = None,
    response_format: Mapping[str, Any] | None = None,
    stream: bool = True,
    kind: Kind = "chat",
    settle: Literal["private", "batch", "individual"] = "private",
    host: str | None = None,
    network: str | None = None,
    max_cost: str | Decimal | None = None,
    policy: str | None = None,
    timeout: float | None = None,
) -> Answer:
    """One paid, checked and recorded call: what ``%%opg`` does, without a display.

    ``prompt`` is a text or a list of chat messages.  ``max_cost`` in OPG, ``timeout`` in seconds; the settings fill in
    what is left out.  Raises :class:`opg_magic.errors.OpgError`: among others ``AnswerWithheld`` when a check failed,
    ``LimitExceeded`` and ``PaymentRefused`` before anything was signed, ``CallFailed`` when no usable answer came (its
    ``charge`` says whether it was paid for).  Interrupting raises ``CallInterrupted``.
    """
    return _ask(**locals())


async def aask(
    prompt: str | Sequence[Mapping[str, Any]],
    *,
    model: str | None = None,
    system: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    stop: str | Sequence[str] = (),
    tools: Sequence[Mapping[str, Any]] | None = None,
    response_format: Mapping[str, Any] | None = None,
    stream: bool = True,
    kind: Kind = "chat",
    settle: Literal["private", "batch", "individual"] = "private",
    host: str | None = None,
    network: str | None = None,
    max_cost: str | Decimal | None = None,
    policy: str | None = None,
    timeout: float | None = None,
) -> Answer:
    """:func:`ask`, awaited.  Several may run at once; cancelling one cancels its call, and the record is kept."""
    session, made, options = _prepare(**locals())
    return await session.aask(made, options)


def receipts(**filters: Any) -> pd.DataFrame:
    """The ledger as a DataFrame, one row a call; filters as in :func:`opg_magic.receipts.frames.receipts`."""
    from opg_magic.session import current_session

    return current_session().receipts(**filters)


def dashboard() -> Any:
    """A widget: hosts with their verification state, spending against each limit, receipts to filter and open."""
    from opg_magic.display.dashboard import dashboard as make
    from opg_magic.session import current_session

    return make(current_session())


def _ask(**arguments: Any) -> Answer:
    session, made, options = _prepare(**arguments)
    return session.ask(made, options)


def _prepare(
    *,
    prompt: str | Sequence[Mapping[str, Any]],
    model: str | None,
    system: str | None,
    temperature: float | None,
    max_tokens: int | None,
    stop: str | Sequence[str],
    tools: Sequence[Mapping[str, Any]] | None,
    response_format: Mapping[str, Any] | None,
    stream: bool,
    kind: Kind,
    settle: Literal["private", "batch", "individual"],
    host: str | None,
    network: str | None,
    max_cost: str | Decimal | None,
    policy: str | None,
    timeout: float | None,
) -> tuple[Session, Prompt, CallOptions]:
    from opg_magic.call import CallOptions
    from opg_magic.models import parse_units
    from opg_magic.session import current_session

    try:
        most = None if max_cost is None else parse_units(str(max_cost), OPG_DECIMALS)
    except ValueError:
        raise ConfigError(f"max_cost must be an amount of OPG, such as 0.5, not {str(max_cost)[:80]!r}") from None
    session = current_session()
    extra: dict[str, Any] = {}
    if tools:
        extra["tools"] = list(tools)
    if response_format is not None:
        extra["response_format"] = response_format
    text, messages = (prompt, None) if isinstance(prompt, str) else (_last_user_text(prompt), tuple(prompt))
    if messages is not None and system is not None:
        raise PromptError("give the system message either in the messages or as system=, not both")
    made = Prompt(
        text=text,
        model=model or session.settings.get("model"),
        system=system,
        messages=messages,
        temperature=temperature,
        max_tokens=max_tokens,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        extra=extra,
        stream=stream,
        kind=kind,
        settle=settle,
    )
    options = CallOptions(
        host=host,
        network=network,
        max_cost=most,
        policy=policy,
        timeout=timeout,
    )
    return session, made, options


def _last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    for message in reversed(messages):
        if message.get("role") == "user" and isinstance(message.get("content"), str):
            return str(message["content"])
    return ""
