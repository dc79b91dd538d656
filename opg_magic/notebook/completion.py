"""Completion by Tab for ``%%opg`` and ``%opg``: flags, models, hosts, commands.  Nothing here goes
to the network."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, cast

from opg_magic.cells import grammar
from opg_magic.cells.magic_line import OPTIONS, goes_on

#: How IPython tells our matcher from others.
IDENTIFIER = "opg_magic"

_LINE = re.compile(r"^[ \t]*(?:\w+[ \t]*=[ \t]*)?%opg(?P<rest>[ \t].*)$")
_FLAGS = {name: option for option in OPTIONS for name in (option.flag, option.short) if name}


def candidates(text: str, offset: int, commands: Iterable[str]) -> tuple[str, list[str]] | None:
    """(the word under the cursor, what could stand there), or None where the cursor is in no line
    of ours.

    ``text`` is the whole cell, ``offset`` the cursor in it.
    """
    if (line := _cell_line(text[:offset])) is not None:
        found = grammar.words(line)
        if found.is_open or found.comment is not None:
            return None
        last = found.words[-1] if found.words and found.words[-1].end == len(line) else None
        word = line[last.start :] if last else ""
        offered = _of_cell(word, [w.value for w in found.words if w is not last])
    else:
        match = _LINE.match(text[text.rfind("\n", 0, offset) + 1 : offset])
        if match is None:
            return None
        words = match["rest"].split(" ")
        word = words[-1]
        offered = _of_line(word, [w for w in words[:-1] if w], list(commands))
    return word, [text for text in offered if text.startswith(word)]


def _cell_line(before: str) -> str | None:
    """What stands after ``%%opg `` and before the cursor; None if the cursor is not in that
    line."""
    line = before.rpartition("\n")[2].lstrip(" \t")
    head = grammar.head(before)
    return (
        line.removeprefix("%%opg")
        if head is not None and line.startswith("%%opg ") and not head.body
        else None
    )


def _of_cell(word: str, before: list[str]) -> list[str]:
    if (listed := _list(before, word)) is not None:
        *already, _ = ",".join(listed).split(",")
        head = word[: max(word.rfind(","), word.rfind("=")) + 1]
        return [head + name for name in _functions() if name not in already]
    option = _FLAGS.get(before[-1]) if before else None
    if option is not None and option.metavar is not None:
        return list(option.choices) or _values(option.flag)
    if "=" in word and word.startswith("--"):
        flag = word.partition("=")[0]
        known = _FLAGS.get(flag)
        return [f"{flag}={v}" for v in ((known.choices or _values(flag)) if known else ())]
    given = {word.partition("=")[0] for word in before}
    return [o.flag for o in OPTIONS if o.repeat or not {o.flag, o.short} & given]


def _list(before: list[str], word: str) -> list[str] | None:
    """The words of the list that ``word`` ends, without their flag; None if it is in none."""
    words = [*before, word]
    at = len(before)
    while at and words[at - 1] not in _FLAGS and goes_on(words[at - 1], words[at] or "?"):
        at -= 1
    flag, is_whole, first = words[at].partition("=")
    if is_whole and _is_list(flag):
        return [first, *words[at + 1 :]]
    return words[at:] if at and _is_list(words[at - 1]) else None


def _is_list(flag: str) -> bool:
    return flag in _FLAGS and _FLAGS[flag].form == "list"


def _of_line(word: str, before: list[str], commands: list[str]) -> list[str]:
    if not before:
        return commands
    if before == ["config"]:
        from opg_magic.settings.catalogue import SETTINGS

        return [setting.key for setting in SETTINGS]
    if before == ["config", "model"]:
        return _values("--model")
    if before == ["config", "policy"]:
        return list(_FLAGS["--policy"].choices)
    if before == ["use"]:
        return _values("--network")
    if before == ["code"]:
        return ["last"]
    if before[0] == "show":
        return ["--unverified"] if len(before) > 1 else ["last", "--unverified"]
    if before == ["simnet"]:
        return ["status", "up", "down", "cheat"]
    if before[:2] == ["simnet", "cheat"] and len(before) == 2:
        return [row.name for row in _known_hosts() if row.name]
    return []


def _values(flag: str) -> list[str]:
    source: Callable[[], list[str]] | None = {
        "--model": _models,
        "--host": _hosts,
        "--network": networks,
        "--schema": _types,
    }.get(flag)
    return source() if source is not None else []


def _types() -> list[str]:
    """The names of this kernel's own types that data can have."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return [
        name
        for name, value in (shell.user_ns if shell is not None else {}).items()
        if isinstance(value, type)
        and not name.startswith("_")
        and any(
            hasattr(value, mark)
            for mark in ("model_fields", "__dataclass_fields__", "__required_keys__", "__members__")
        )
    ]


def _functions() -> list[str]:
    """The names of this kernel's own functions."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None:
        return []
    return [
        name
        for name, value in shell.user_ns.items()
        if isinstance(value, FunctionType)
        and value.__name__ == name
        and not name.startswith("_")
        and name not in shell.user_ns_hidden
    ]


def _models() -> list[str]:
    from opg_magic.models.networks import SIM
    from opg_magic.settings import prices

    session = _session()
    simulated = session is None or session.settings.get("network") == SIM
    return list(prices.load(simulated=simulated).models)


def networks() -> list[str]:
    """Names of the networks there are."""
    from opg_magic.network.profiles import NAMES

    return list(NAMES)


def _hosts() -> list[str]:
    return [row.host.tee_id for row in _known_hosts()]


def _known_hosts() -> tuple[Any, ...]:
    session = _session()
    return () if session is None else tuple(session.overview.known_hosts)


def _session() -> Any:
    """The session as it is, if there is one: a Tab neither makes one nor asks the registry."""
    return getattr(sys.modules.get("opg_magic.call.session"), "_current", None)


def matcher(commands: Iterable[str]) -> Callable[[Any], Any]:
    """The matcher for ``ip.Completer.custom_matchers``."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    known = tuple(commands)

    @context_matcher(identifier=IDENTIFIER)  # type: ignore[untyped-decorator]
    def opg_matcher(context: Any) -> Any:
        lines = context.full_text.split("\n")
        offset = (
            sum(len(line) + 1 for line in lines[: context.cursor_line]) + context.cursor_position
        )
        found = candidates(context.full_text, offset, known)
        if found is None:
            return {"completions": []}
        word, values = found
        return {
            "completions": [SimpleCompletion(text=value, type="opg") for value in values],
            "matched_fragment": word,
            "ordered": True,
            "suppress": True,
        }

    return cast("Callable[[Any], Any]", opg_matcher)
