"""The engine from Python: ``ask``, ``aask``, ``map``, ``amap``, ``agree``, ``receipts``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

from opg_magic.errors import ArgumentError, PromptError
from opg_magic.models import Answer, Kind, Prompt, SettleChoice
from opg_magic.models import arguments as checked
from opg_magic.models.prompts import RouteName
from opg_magic.shapes import Format, fitted

if TYPE_CHECKING:
    import pandas as pd

    from opg_magic.call.agreement import Agreement
    from opg_magic.call.session import Session
    from opg_magic.call.state import CallOptions
    from opg_magic.shapes import Shape
    from opg_magic.table.mapping import Job


P = ParamSpec("P")

#: What a prompt takes as it is given.
_OF_PROMPT = tuple({one.name for one in fields(Prompt)} - {"model", "stop"})


def _taking_what(
    other: Callable[P, Answer],
) -> Callable[[Callable[..., Awaitable[Answer]]], Callable[P, Awaitable[Answer]]]:
    """Give a function the signature of another one, for readers, type checkers and completion."""

    def named(function: Callable[..., Awaitable[Answer]]) -> Callable[P, Awaitable[Answer]]:
        function.__signature__ = signature(other)  # type: ignore[attr-defined]
        function.__name__ = function.__qualname__ = function.__name__.lstrip("_")
        return function

    return named


def ask(
    prompt: str | Sequence[Mapping[str, Any]],
    *,
    model: str | None = None,
    system: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    stop: str | Sequence[str] = (),
    tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None = None,
    response_format: Mapping[str, Any] | None = None,
    schema: Any = None,
    format: Format | None = None,
    stream: bool = True,
    kind: Kind = "chat",
    settle: SettleChoice = "private",
    host: str | None = None,
    network: str | None = None,
    max_cost: str | Decimal | float | None = None,
    policy: str | None = None,
    timeout: float | None = None,
    route: RouteName | None = None,
    fresh: bool = False,
    chat: str | None = None,
    tools_confirm: bool = True,
    max_rounds: int = 8,
) -> Answer:
    """Ask one question and return the checked answer: what ``%%opg`` does, without a display.

    ``prompt`` is a text or a list of chat messages.  ``max_cost`` is in OPG, ``timeout`` in
    seconds; ``route``: ``direct`` (your wallet pays) or ``private`` (sealed, and a relay pays).
    ``schema`` makes ``answer.data``: a pydantic model, dataclass or other type, a JSON Schema, or
    the short form ``"name, year int"``; with ``format="df"`` a DataFrame of such rows.
    What this notebook asked before is answered from the ledger, at no cost (``answer.repeated``),
    unless ``fresh``.  ``chat`` continues the conversation of that name: its messages are sent
    again, and paid again.  Omitted arguments come from your settings.  NumPy scalars count as the
    values that they are.

    ``tools``: functions run when the model asks for them, and their results are sent back, in at
    most ``max_rounds`` calls, each paid and with a receipt.  You are asked before they run, once a
    round, unless ``tools_confirm`` is False; where nobody can be asked, nothing runs.  Definitions
    (dicts) are sent only: see ``answer.tool_calls``.

    Raises :class:`opg_magic.errors.OpgError`.  Before anything is signed: ``ArgumentError`` (also a
    ValueError) for a value that is not allowed, ``LimitExceeded``, ``PaymentRefused``.  After:
    ``AnswerWithheld`` if a check failed, ``ShapeMismatch`` if a good answer does not fit
    ``schema``, ``CallFailed`` if no usable answer came; its ``charge`` says whether money was
    taken.  Interrupting raises ``CallInterrupted``."""
    given = locals()
    shape = _shape(given)
    session, made, options = _prepare(given, shape)
    if functions := _functions(given["tools"]):
        answer = _rounds(lambda one: session.ask(one, options), made, functions, given)
        return fitted(answer, shape)
    return fitted(session.ask(made, options), shape)


def _functions(tools: Any) -> list[Callable[..., Any]]:
    """The functions in a list; ArgumentError where definitions stand beside them."""
    given = [*tools] if isinstance(tools, Sequence) else []
    functions = [one for one in given if callable(one)]
    if functions and len(functions) < len(given):
        raise ArgumentError("tools takes functions or definitions, not both. Nothing was sent.")
    return functions


def _rounds(
    ask: Callable[[Prompt], Answer],
    made: Prompt,
    functions: Sequence[Callable[..., Any]],
    given: Mapping[str, Any],
) -> Answer:
    from opg_magic.call.tools import ask_the_user, run_rounds
    from opg_magic.shapes.functions import tools_of

    confirmed = checked.flag("tools_confirm", given["tools_confirm"])
    return run_rounds(
        ask,
        made,
        tools_of(functions),
        confirm=ask_the_user if confirmed else None,
        max_rounds=checked.whole("max_rounds", given["max_rounds"], 1, 64),
    )


async def _aask(*arguments: Any, **named: Any) -> Answer:
    """Do what :func:`ask` does, awaited.  Several may run at once; cancelling one stops its call
    and keeps its receipt."""
    given = _bound(*arguments, **named)
    _refuse_tools(given, "aask")
    shape = _shape(given)
    session, made, options = _prepare(given, shape)
    return fitted(await session.aask(made, options), shape)


aask = _taking_what(ask)(_aask)


def agree(
    prompt: str | Sequence[Mapping[str, Any]],
    *,
    hosts: int,
    quorum: int | None = None,
    **arguments: Any,
) -> Agreement:
    """Ask ``hosts`` hosts of different owners at once and compare their answers: ``--hosts``.

    At least ``quorum`` of them must give the same answer; by default, more than half.  The other
    arguments are those of :func:`ask`, without ``host``.  Every answer is paid for.  Raises what
    :func:`ask` raises, and :class:`opg_magic.errors.HostsDisagree` if no answer reaches the
    quorum."""
    given = _bound(prompt, **arguments)
    _refuse_chat(given, "agree")
    shape = _shape(given)
    session, made, options = _prepare(given, shape)
    agreed = session.agree(made, options, hosts=hosts, quorum=quorum)
    return replace(agreed, answer=fitted(agreed.answer, shape))


def map(
    data: Any,
    prompt: str,
    *,
    output: str = "answer",
    max_cost: str | Decimal | float | None = None,
    concurrency: int = 16,
    hosts: int = 1,
    errors: Literal["column", "raise"] = "column",
    dedupe: bool = True,
    fresh: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: bool = True,
    **arguments: Any,
) -> Any:
    """Ask ``prompt`` for each row of a table and return the table with the answers as columns.

    ``data``: a list, Series, DataFrame, Polars or Dask frame, or Arrow table.  ``prompt`` names its
    columns in double braces, as in ``"Classify: {{review}}"``; the column of a list is ``value``.
    The new columns are ``output``, and ``_error``, ``_verdict`` and ``_receipt`` after its name.  A
    row whose cell is missing, or whose answer may not be used, has the reason instead of an answer.

    Each different prompt is asked once (``dedupe``), in a request with a receipt of its own.  What
    the ledger answers already costs nothing, unless ``fresh``: run it again after a stop, and the
    rest alone is paid for.  Equal rows share such an answer.

    ``max_cost`` (OPG) is for the whole table.  ``hosts`` share the rows, each under its own
    authorisation; ``concurrency`` calls run at once.  ``errors="raise"`` ends at the first row that
    fails.  ``dry_run`` returns the plan instead.  The other arguments are those of :func:`ask`;
    with ``schema`` the column holds each answer's data, and a row whose answer does not fit the
    reason.

    A Dask frame is planned over all partitions now and comes back lazily: whatever computes it asks
    and pays, from this process, and computing it again costs nothing.  With an asynchronous Client,
    await :func:`amap`.

    Raises :class:`opg_magic.errors.OpgError`.  Before anything is signed: ``ArgumentError``, which
    names row and column, and ``LimitExceeded``.  A stop keeps what came and returns it."""
    from opg_magic.table.frames import is_dask
    from opg_magic.table.mapping import Table, ask_made, plan_table
    from opg_magic.table.shown import Shown

    session, job = _job({**locals()})
    dry_run, progress = checked.flag("dry_run", dry_run), checked.flag("progress", progress)
    if is_dask(data):
        from opg_magic.table.dask_frames import lazily

        return lazily(job, session, dry_run=dry_run, shown=Shown if progress else None)
    if dry_run:
        return plan_table(job, session)
    table = Table(job, session)
    shown = Shown() if progress else None
    try:
        return ask_made(table, job, session, shown)
    finally:
        if shown is not None:
            shown.end(table.tally, table.receipts)


async def amap(data: Any, prompt: str, **arguments: Any) -> Any:
    """Do what :func:`map` does, awaited and without a display.  Cancelling it stops its calls; what
    came is in the ledger."""
    import asyncio

    from opg_magic.table.frames import is_dask
    from opg_magic.table.mapping import aask_table, plan_table

    session, job = prepare_table(data, prompt, **arguments)
    dry_run = checked.flag("dry_run", arguments.get("dry_run", False))
    if is_dask(data):
        from opg_magic.table.dask_frames import alazily

        return await alazily(job, session, dry_run=dry_run)
    if dry_run:
        return await asyncio.to_thread(plan_table, job, session)
    return await aask_table(job, session)


def prepare_table(data: Any, prompt: str, **arguments: Any) -> tuple[Session, Job]:
    """The arguments of :func:`map` as :func:`opg_magic.table.mapping.ask_made` takes them."""
    bound = signature(map).bind(data, prompt, **arguments)
    bound.apply_defaults()
    return _job(dict(bound.arguments))


def _job(given: dict[str, Any]) -> tuple[Session, Job]:
    """The arguments of :func:`map`, each checked."""
    from opg_magic.table.mapping import Job

    if "stream" in given["arguments"]:
        raise TypeError("map() takes no stream=")
    text = checked.text("prompt", given["prompt"])
    asked = _bound(text, **given["arguments"])
    _refuse_chat(asked, "map")
    shape = _shape(asked)
    session, made, options = _prepare(asked, shape)
    max_cost = given["max_cost"]
    return session, Job(
        given["data"],
        text,
        made,
        options,
        shape=shape,
        max_cost=None if max_cost is None else checked.opg("max_cost", max_cost),
        **{
            name: given[name]
            for name in (
                "output",
                "concurrency",
                "hosts",
                "errors",
                "dedupe",
                "fresh",
                "overwrite",
            )
        },
    )


def receipts(**filters: Any) -> pd.DataFrame:
    """Return the ledger as a DataFrame, one row per call, oldest first.

    The filters are those of :func:`opg_magic.ledger.frames.receipts`."""
    from opg_magic.call.session import current_session

    return current_session().receipts(**filters)


def prepare(*arguments: Any, **named: Any) -> tuple[Session, Prompt, CallOptions]:
    """The arguments of :func:`ask` as :meth:`Session.ask` takes them, for a caller that watches
    the call."""
    given = _bound(*arguments, **named)
    return _prepare(given, _shape(given))


def _bound(*arguments: Any, **named: Any) -> dict[str, Any]:
    """All arguments of :func:`ask`, those that were left out too; TypeError as if it had been
    called."""
    bound = signature(ask).bind(*arguments, **named)
    bound.apply_defaults()
    return bound.arguments


def _refuse_chat(given: Mapping[str, Any], name: str) -> None:
    if given["chat"] is not None:
        raise ArgumentError(
            f"{name}() continues no chat: ask one host at a time. Nothing was sent."
        )
    _refuse_tools(given, name)


def _refuse_tools(given: Mapping[str, Any], name: str) -> None:
    if _functions(given["tools"]):
        raise ArgumentError(f"{name}() runs no functions: use ask(). Nothing was sent.")


def _shape(given: Mapping[str, Any]) -> Shape | None:
    """The shape that is asked for.  Raises ArgumentError; nothing was sent."""
    from opg_magic.shapes import wanted

    kind = checked.choice("kind", given["kind"], checked.KINDS)
    if given["response_format"] is not None and given["schema"] is not None:
        raise ArgumentError("Give schema or response_format, not both. Nothing was sent.")
    return wanted(given["schema"], given["format"], kind=kind)


def _prepare(given: Mapping[str, Any], shape: Shape | None) -> tuple[Session, Prompt, CallOptions]:
    """The arguments of :func:`ask` as the engine takes them."""
    from opg_magic.call.naming import model_for
    from opg_magic.call.session import current_session
    from opg_magic.call.state import CallOptions

    prompt, stop, max_cost, tools = (
        given["prompt"],
        given["stop"],
        given["max_cost"],
        given["tools"],
    )
    options = CallOptions(
        **{one.name: given[one.name] for one in fields(CallOptions) if one.name != "max_cost"},
        max_cost=None if max_cost is None else checked.opg("max_cost", max_cost),
    )
    model = checked.optional_text("model", given["model"])
    extra: dict[str, Any] = {}
    if tools is not None and not _functions(tools):
        meant = "a list of functions, or of definitions (dicts)"
        if tools := checked.objects("tools", tools, meant=meant):
            extra["tools"] = list(tools)
    if given["response_format"] is not None:
        extra["response_format"] = checked.mapping("response_format", given["response_format"])
    elif shape is not None and shape.response_format is not None:
        extra["response_format"] = shape.response_format
    if isinstance(prompt, str):
        text, messages = prompt, None
    else:
        messages = _messages(prompt)
        text = _last_user_text(messages)
    if messages is not None and given["system"] is not None:
        raise PromptError("give the system message either in the messages or as system=, not both")
    session = current_session()
    made = Prompt(
        text=text,
        model=model_for(model, session.settings, given["network"]),
        messages=messages,
        extra=extra,
        stop=(stop,) if isinstance(stop, str) else stop,
        **{name: given[name] for name in _OF_PROMPT if name in given},
    )
    if given["chat"] is not None:
        made = session.chats.continued(made, given["chat"], given["network"])
    return session, made, options


def _messages(prompt: Any) -> tuple[Mapping[str, Any], ...]:
    """A list of chat messages.  Raises ArgumentError, in one line, for what a loop over a table
    may bring: a missing value, or the whole column."""
    from opg_magic.cells.values import is_column, is_missing

    meant, hint = "a text or a list of chat messages (dicts)", None
    if is_missing(prompt):
        hint = "The value is missing: leave such rows out."
    elif is_column(prompt):
        hint = "One call takes one text: ask for each of its values."
    if hint is not None:
        checked.refuse("prompt", meant, prompt, hint=hint)
    return checked.objects("prompt", prompt, meant=meant)


def _last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    for message in reversed(messages):
        if message.get("role") == "user" and isinstance(message.get("content"), str):
            return str(message["content"])
    return ""
