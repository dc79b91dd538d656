"""What stands on the line of ``%%opg``: one table of options gives parsing, help, completion and documentation."""

from __future__ import annotations

import builtins
import keyword
import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from opg_magic.errors import ConfigError, PromptError


class LineError(ValueError):
    """A magic's line cannot be understood; the magic turns it into IPython's UsageError."""


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("a text that is not empty")
    return value


def _number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("a number")
    return number


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError("a whole number")
    return int(value)


def _amount(value: str) -> int:
    from opg_magic.models import parse_units
    from opg_magic.networks import OPG_DECIMALS

    try:
        return parse_units(value, OPG_DECIMALS)
    except ValueError:
        raise ValueError("an amount of OPG, such as 0.1") from None


def _setting(key: str) -> Callable[[str], Any]:
    def convert(value: str) -> Any:
        from opg_magic import config

        return config.option(key).convert(value)

    return convert


@dataclass(frozen=True, slots=True)
class Option:
    """One flag.  ``metavar`` None: it takes no value.  ``repeat``: it may be given several times.

    ``free``: its value is free text, in which braces mean nothing.
    """

    flag: str
    help: str
    metavar: str | None = None
    convert: Callable[[str], Any] = _text
    choices: tuple[str, ...] = ()
    repeat: bool = False
    free: bool = False

    @property
    def key(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def usage(self) -> str:
        shown = f"{self.flag} {'|'.join(self.choices) if self.choices else self.metavar}" if self.metavar else self.flag
        return f"[{shown}]…" if self.repeat else f"[{shown}]"


OPTIONS: tuple[Option, ...] = (
    Option("--model", "the model to ask for, as provider/name", "M"),
    Option("--system", "a system message before the prompt", "S", free=True),
    Option("--temperature", "sampling temperature", "T", _number),
    Option("--max-tokens", "most tokens that the answer may have", "N", _count),
    Option("--stop", "text at which the answer ends; up to four", "S", repeat=True, free=True),
    Option("--no-stream", "wait for the whole answer instead of streaming it"),
    Option("--settle", "what is published on chain: private nothing, batch hashes", "MODE",
           choices=("private", "batch")),
    Option("--host", "ask this host: its id or the beginning of it", "ID"),
    Option("--hosts", "ask this many hosts of different owners at once, and compare", "N", _count),
    Option("--quorum", "with --hosts: how many must give one answer (else more than half)", "N", _count),
    Option("--network", "ask this network instead of the one in use", "N"),
    Option("--max-cost", "OPG that this call may put at risk; 0 forbids it", "C", _amount),
    Option("--dry-run", "show host, model, price and cap; sign and pay nothing"),
    Option("--policy", "which claims must pass; can only be stricter than your settings", "P", _setting("policy"),
           choices=("default", "strict", "audit")),
    Option("--timeout", "seconds until the call is given up", "S", _setting("timeout")),
    Option("--vars", "fill {{name}} in the prompt from your variables (str, int or float)"),
    Option("--quiet", "show the receipt card only, neither progress nor text"),
    Option("--help", "show this and send nothing"),
)  # fmt: skip
_BY_FLAG = {option.flag: option for option in OPTIONS}


@dataclass(frozen=True, slots=True)
class Line:
    """A parsed line: the name that takes the answer, and the options that were given."""

    name: str | None
    given: Mapping[str, Any] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        return self.given.get(key, default)


def parse(line: str, namespace: Mapping[str, Any] | None = None) -> Line:
    """Parse the line of ``%%opg``.  :class:`LineError` names what is wrong and what may have been meant.

    Words are split as a shell splits them; a ``#`` that begins a word outside quotes begins a comment.  A value that
    begins with ``--`` is given as ``--flag=value``.  A value that is wholly ``{name}`` is taken from ``namespace``, but
    for free text (``--system``, ``--stop``), which is sent as it stands.
    """
    words = split(line)
    name: str | None = None
    given: dict[str, Any] = {}
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            name = _name(word, name)
            continue
        flag, has_value, value = word.partition("=")
        found = _BY_FLAG.get(flag)
        if found is None:
            raise LineError(f"unknown option {flag}" + did_you_mean(flag, _BY_FLAG))
        if found.key in given and not found.repeat:
            raise LineError(f"{flag} is given twice")
        if found.metavar is None:
            if has_value:
                raise LineError(f"{flag} takes no value")
            given[found.key] = True
            continue
        if not has_value:
            if not words or words[0].startswith("--"):
                raise LineError(f"{flag} needs a value ({found.metavar})")
            value = words.pop(0)
        if not found.free:
            value = looked_up(value, namespace)
        converted = _convert(found, value)
        given[found.key] = (*given.get(found.key, ()), converted) if found.repeat else converted
    return Line(name, given)


def split(line: str) -> list[str]:
    """Shell words of a line, without its comment.  :class:`LineError` if a quote is left open."""
    try:
        return shlex.split(_without_comment(line), comments=False, posix=True)
    except ValueError as problem:
        raise LineError(f"{str(problem).lower()}: quotes must be closed") from None


_WHOLE = re.compile(r"\{([^{}]+)\}")


def looked_up(word: str, namespace: Mapping[str, Any] | None) -> str:
    """``word``, or the value of the variable that it names if it is wholly ``{name}`` (str, int or float)."""
    match = _WHOLE.fullmatch(word)
    if match is None or namespace is None:
        return word
    try:
        return _value(match.group(1), namespace)
    except PromptError as problem:
        raise LineError(f"{word}: {problem.message}") from None


def _without_comment(line: str) -> str:
    # shlex's own comments also begin within a word, where they would cut a value in silence.
    quote, escaped = "", False
    for place, char in enumerate(line):
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "#" and (place == 0 or line[place - 1].isspace()):
            return line[:place]
    return line


def _name(word: str, already: str | None) -> str:
    if already is not None:
        raise LineError(f"two names, {already} and {word}: an option's value with spaces needs quotes")
    if word.startswith("-") and not word.lstrip("-").isdigit():
        raise LineError(f"unknown option {word}" + did_you_mean(f"-{word}", _BY_FLAG))
    if not word.isidentifier() or keyword.iskeyword(word):
        raise LineError(f"{word!r} cannot be a variable's name")
    if hasattr(builtins, word):
        # "%%opg help" with a text below it, say: it would be paid for, and help() would be gone.
        raise LineError(f"{word} is a name of Python's own; give the answer another")
    return word


def _convert(option: Option, value: str) -> Any:
    if option.choices and value not in option.choices:
        raise LineError(f"{option.flag} must be {' or '.join(option.choices)}, not {value!r}")
    try:
        return option.convert(value)
    except ConfigError as problem:
        raise LineError(problem.message) from None
    except ValueError as problem:
        raise LineError(f"{option.flag} must be {problem}, not {value!r}") from None


def did_you_mean(word: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


# ------------------------------------------------------------------------------------------------------------- prompt

_FIELD = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def prompt_text(body: str) -> str:
    """The prompt that a cell's body holds.  IPython ends every body with a newline: exactly one is taken off.

    PromptError if nothing but white space is left.
    """
    text = body.removesuffix("\n")
    if not text.strip():
        raise PromptError("The cell holds no prompt. Nothing was sent.", hint="Write it below the %%opg line.")
    return text


def fill(template: str, namespace: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """``template`` with each ``{{name}}`` replaced once by its value, and the names used, in order of first use.

    Values are str, int or float (not bool: it is rarely meant); what they contain is never scanned again.  PromptError
    for anything else between double braces.
    """
    used: dict[str, None] = {}

    def value(match: re.Match[str]) -> str:
        name = match.group(1).strip()
        found = _value(name, namespace)
        used[name] = None
        return found

    return _FIELD.sub(value, template), tuple(used)


def _value(name: str, namespace: Mapping[str, Any]) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        hint = "Between the braces stands one plain name."
        raise PromptError(f"{_short(name)!r} is not a variable's name. Nothing was sent.", hint=hint)
    if name not in namespace:
        near = get_close_matches(name, [n for n in namespace if not n.startswith("_")], n=1)
        raise PromptError(
            f"{name} is not defined. Nothing was sent.", hint=f"Did you mean {near[0]}?" if near else None
        )
    return _as_text(name, namespace[name])


def _as_text(name: str, value: Any) -> str:
    # The base type's own text: a subclass must not decide what is sent.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    kind = type(value).__name__
    hint = f"Take its text first: text = {name}.text" if kind == "Answer" else f"Make it a text first: str({name})"
    raise PromptError(f"{name} is a {kind}; a str, int or float is needed. Nothing was sent.", hint=hint)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 40 else flat[:39] + "…"


# --------------------------------------------------------------------------------------------------------------- help


def help_text() -> str:
    """The help of ``%%opg``, from the table above."""
    lines = [
        "Ask a model, check the answer on this machine, keep the receipt.",
        "",
        *(line.replace("\N{NO-BREAK SPACE}", " ") for line in _wrapped_usage()),
        "",
        "The prompt is the cell below the line; it is sent as it stands. The answer goes to name and to _.",
        "",
    ]
    width = max(len(o.flag) + len(o.metavar or "") for o in OPTIONS) + 3
    lines += [f"  {f'{o.flag} {o.metavar or str()}'.rstrip():<{width}} {o.help}" for o in OPTIONS]
    return "\n".join([*lines, "", "Other commands: %opg help"])


def _wrapped_usage() -> list[str]:
    import textwrap

    # No line ends between a flag and its value.
    whole = "%%opg [name] " + " ".join(o.usage.replace(" ", "\N{NO-BREAK SPACE}") for o in OPTIONS)
    return textwrap.wrap(whole, 100, subsequent_indent="      ", break_on_hyphens=False, break_long_words=False)


def help_markdown() -> str:
    """The same as a Markdown table, for the documentation."""
    rows = [f"| `{o.flag}{f' {o.metavar}' if o.metavar else ''}` | {o.help} |" for o in OPTIONS]
    return "\n".join(["| option | meaning |", "|---|---|", *rows])


__all__ = ["OPTIONS", "Line", "LineError", "Option", "did_you_mean", "fill", "help_markdown", "help_text",
           "parse", "prompt_text", "split"]  # fmt: skip
