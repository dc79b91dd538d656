"""What stands on the line of ``%%opg``: one table of options gives parsing, help, completion and
documentation."""

from __future__ import annotations

import builtins
import keyword
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from opg_magic.cells import grammar
from opg_magic.cells.values import as_text
from opg_magic.errors import ConfigError, PromptError
from opg_magic.shapes import FORMATS


class LineError(ValueError):
    """A magic's line cannot be understood; the magic turns it into IPython's UsageError."""


#: What a value looks like, whatever it means; the same in the browser
#: (labextension/src/cells/grammar.ts).
Form = Literal["text", "number", "count", "amount", "name", "list"]

#: Where a value goes.  ``prompt``: a field of :class:`opg_magic.models.Prompt`; ``call``: one of
#: ``CallOptions`` (``call/state.py``); ``agreement``: an argument of ``agree``; ``around``: what is
#: sent with the prompt's text (:mod:`opg_magic.cells.context`); ``shape``: what makes data of the
#: answer (:mod:`opg_magic.shapes`); ``conversation``: what else of it is sent
#: (:mod:`opg_magic.call.chats`); ``cell``: only the cell knows it.
Part = Literal["prompt", "call", "agreement", "around", "shape", "conversation", "cell"]

#: A name that a user gives, as to a chat.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_TEXT = re.compile(rf"[\s\S]*[^{grammar.SPACE}][\s\S]*")
_FORMS: dict[Form, tuple[re.Pattern[str], str]] = {
    "text": (_TEXT, "a text that is not empty"),
    "number": (re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?"), "a number"),
    "count": (re.compile(r"[0-9]{1,15}"), "a whole number"),
    "name": (
        NAME,
        "a name of letters, digits, '.', '_' and '-'",
    ),
    # With commas; a space may stand beside each of them.
    "list": (_TEXT, "a list with commas"),
    "amount": (re.compile(r"[0-9]+\.?[0-9]{0,18}|\.[0-9]{1,18}"), "an amount of OPG, such as 0.1"),
}


def _amount(value: str) -> int:
    from opg_magic.models import parse_units
    from opg_magic.models.networks import OPG_DECIMALS

    return parse_units(value, OPG_DECIMALS)


def _setting(key: str) -> Callable[[str], Any]:
    def convert(value: str) -> Any:
        from opg_magic.settings.catalogue import setting

        return setting(key).convert(value)

    return convert


@dataclass(frozen=True, slots=True)
class Option:
    """One flag.  ``metavar`` None: it takes no value.  ``repeat``: it may be given several times.

    ``free``: its value is free text, in which braces mean nothing.  ``former``: choices that older
    versions had.  ``part``: where the value goes, under :attr:`key`; ``opg ask`` has the same flag,
    but for those of the cell alone.  ``short``: another way to write it."""

    flag: str
    help: str
    metavar: str | None = None
    form: Form = "text"
    convert: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    repeat: bool = False
    free: bool = False
    former: tuple[str, ...] = ()
    part: Part = "cell"
    short: str | None = None

    @property
    def key(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def usage(self) -> str:
        shown = (
            f"{self.flag} {'|'.join(self.choices) if self.choices else self.metavar}"
            if self.metavar
            else self.flag
        )
        return f"[{shown}]…" if self.repeat else f"[{shown}]"


OPTIONS: tuple[Option, ...] = (
    Option("--model", "ask this model, as provider/name or @alias", "M", part="prompt"),
    Option("--system", "send this system message before the prompt", "S", free=True, part="prompt"),
    Option("--temperature", "set the sampling temperature", "T", "number", float, part="prompt"),
    Option("--max-tokens", "limit the answer to this many tokens", "N", "count", int,
           part="prompt"),
    Option("--stop", "end the answer before this text; up to four", "S", repeat=True, free=True,
           part="prompt"),
    Option("--no-stream", "wait for the whole answer instead of streaming it"),
    Option("--settle", "publish nothing on chain (private) or hashes (batch)", "MODE",
           choices=("private", "batch"), former=("individual",), part="prompt"),
    Option("--host", "ask this host: its ID or the beginning of it", "ID", part="call"),
    Option("--hosts", "ask this many hosts of different owners, and compare their answers; with "
                      "--over they share the rows", "N",
           "count", int, part="agreement"),
    Option("--quorum", "with --hosts: require this many to give the same answer (default: more "
                       "than half)", "N", "count", int, part="agreement"),
    Option("--network", "use this network instead of the one in your settings", "N", part="call"),
    Option("--route", "use the direct route (wallet) or the private one (a relay pays)", "R",
           choices=("direct", "private"), part="call"),
    Option("--max-cost", "refuse the call if its cap exceeds C OPG", "C", "amount", _amount,
           part="call"),
    Option("--fresh", "pay even if this notebook asked the same before"),
    Option("--dry-run", "show host, model, price and cap; sign and pay nothing"),
    Option("--policy", "choose which checks must pass; can only be stricter than your settings",
           "P", convert=_setting("policy"), choices=("default", "strict", "audit"), part="call"),
    Option("--timeout", "give up the call after this many seconds", "S", "number",
           _setting("timeout"), part="call"),
    Option("--template", "fill the prompt into a template from your settings (-t)", "NAME",
           short="-t", part="around"),
    Option("--file", "send this text file after the prompt; its size is shown first", "PATH",
           repeat=True, free=True, part="around"),
    Option("--schema", "ask for data: \"name, year int\", a type, a JSON Schema or its file; it is "
                       "answer.data", "S", free=True, part="shape"),
    Option("--format", "read and show the answer in this format; df: a table of --schema (-f)", "F",
           choices=FORMATS, free=True, short="-f", part="shape"),
    Option("--over", "ask the prompt for each row of this list or table; {{column}} is its cell",
           "DATA"),
    Option("--output", "with --over: name the column of the answers (default: answer)", "COLUMN"),
    Option("--chat", "continue the chat of this name: its earlier messages are sent again", "NAME",
           "name", part="conversation"),
    Option("--tools", "let the model call these functions of yours: f, g; you are asked first",
           "F,G", "list"),
    Option("--tools-confirm", "ask once per round before functions run, or never", "HOW",
           choices=("ask", "never")),
    Option("--max-rounds", "with --tools: make at most this many calls (default: 8)", "N", "count",
           int),
    Option("--vars", "fill {{name}} in the prompt from your variables (str, int or float)"),
    Option("--bg", "free the kernel at once; name.wait() gives the answer"),
    Option("--quiet", "show the receipt card only, neither progress nor text"),
    Option("--help", "show this and send nothing"),
)  # fmt: skip
_BY_FLAG = {option.flag: option for option in OPTIONS} | {
    option.short: option for option in OPTIONS if option.short
}


@dataclass(frozen=True, slots=True)
class Line:
    """A parsed line: the name that takes the answer, and the options that were given."""

    name: str | None
    given: Mapping[str, Any] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        return self.given.get(key, default)


@dataclass(frozen=True, slots=True)
class Named:
    """A value that stands in a variable or, with ``@``, in the settings: only the kernel that made
    the call knew it."""

    variable: str


def of_part(line: Line, part: Part) -> dict[str, Any]:
    """The values of a part's options, as far as they were given, by their keys."""
    return {o.key: line.given[o.key] for o in OPTIONS if o.part == part and o.key in line.given}


def parse(line: str, namespace: Mapping[str, Any] | None = None) -> Line:
    """Parse the line of ``%%opg`` for a call.  :class:`LineError` names what is wrong and what may
    have been meant.

    Words are split as a shell splits them; a ``#`` that begins a word outside quotes begins a
    comment.  A value that begins with ``--`` is given as ``--flag=value``.  A value that is wholly
    ``{name}`` is taken from ``namespace``, but for free text (``--system``, ``--stop``), which is
    sent as it stands."""

    def value(option: Option, text: str) -> Any:
        text = text if option.free else looked_up(text, namespace)
        _check(option, text, option.choices)
        return _convert(option, text)

    parsed = _line(line, value)
    if parsed.name is not None and hasattr(builtins, parsed.name):
        # "%%opg help" above a text: the text would be paid for, and help() would be gone.
        raise LineError(f"{parsed.name} is a Python built-in; choose another variable name")
    return parsed


def read(line: str) -> Line:
    """The same line as a reader sees it: values as they are written, :class:`Named` where they
    stand in a variable.

    :class:`LineError` for what no kernel would take; what depends on a kernel (the range of a
    value, a name of Python's own) is left alone."""

    def value(option: Option, text: str) -> Any:
        whole = None if option.free else _WHOLE.fullmatch(text)
        if whole is not None:
            return Named(_checked_variable(whole[1]))
        _check(option, text, option.choices and option.choices + option.former)
        # An alias stands for a model that only its owner's settings name.
        return Named(text) if option.key == "model" and _ALIAS.fullmatch(text) else text

    return _line(line, value)


def _line(line: str, value_of: Callable[[Option, str], Any]) -> Line:
    name: str | None = None
    given: dict[str, Any] = {}
    repeated: dict[str, list[Any]] = {}
    for option, word in _options(split(line)):
        if option is None:
            name = _name(word or "", name)
        elif option.key in given and not option.repeat:
            raise LineError(f"{option.flag} is given twice")
        elif word is None:
            given[option.key] = True
        else:
            value = value_of(option, word)
            if option.repeat:
                repeated.setdefault(option.key, []).append(value)
            given[option.key] = value
    return Line(name, given | {key: tuple(values) for key, values in repeated.items()})


def _options(words: list[str]) -> Iterator[tuple[Option | None, str | None]]:
    """Each option with its value, None if it takes none; and words that are none of either."""
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        if not word.startswith("--") and word not in _BY_FLAG:
            yield None, word
            continue
        flag, has_value, value = word.partition("=")
        option = _BY_FLAG.get(flag)
        if option is None:
            raise LineError(f"unknown option {flag}" + did_you_mean(flag, _BY_FLAG))
        if option.metavar is None:
            if has_value:
                raise LineError(f"{flag} takes no value")
            yield option, None
            continue
        if not has_value:
            if place == len(words) or words[place].startswith("--"):
                raise LineError(f"{flag} needs a value ({option.metavar})")
            value = words[place]
            place += 1
        while option.form == "list" and place < len(words) and goes_on(value, words[place]):
            value += words[place]
            place += 1
        yield option, value


def goes_on(value: str, word: str) -> bool:
    """Whether ``word`` belongs to the list before it: a comma stands between the two."""
    comma = value.endswith(",") or word.startswith(",")
    return comma and not word.startswith("--") and word not in _BY_FLAG


def split(line: str) -> list[str]:
    """Shell words of a line, without its comment.  :class:`LineError` if a quote is left open."""
    found = grammar.words(line)
    if found.is_open:
        raise LineError("a quote is not closed")
    return found.values


_ALIAS = re.compile(r"@[A-Za-z][A-Za-z0-9_-]*")
_WHOLE = re.compile(r"\{([^{}]+)\}")


def looked_up(word: str, namespace: Mapping[str, Any] | None) -> str:
    """``word``, or the value of the variable that it names if it is wholly ``{name}`` (str, int or
    float)."""
    match = _WHOLE.fullmatch(word)
    if match is None or namespace is None:
        return word
    try:
        return _value(match.group(1), namespace)
    except PromptError as problem:
        raise LineError(f"{word}: {problem.message}") from None


def _name(word: str, already: str | None) -> str:
    if already is not None:
        raise LineError(
            f"two variable names, {already} and {word}; quote option values that contain spaces"
        )
    if word.startswith("-") and not word.lstrip("-").isdigit():
        raise LineError(f"unknown option {word}" + did_you_mean(f"-{word}", _BY_FLAG))
    if not word.isidentifier() or keyword.iskeyword(word):
        raise LineError(f"{word!r} cannot be a variable's name")
    return word


def _checked_variable(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise LineError(f"{{{name}}}: {_short(name)!r} is not a variable's name")
    return name


def _check(option: Option, value: str, choices: tuple[str, ...]) -> None:
    """Whether a value has the form of its option."""
    if choices and value not in choices:
        raise LineError(f"{option.flag} must be {' or '.join(option.choices)}, not {value!r}")
    form, words = _FORMS[option.form]
    fits = form.fullmatch(value) is not None and (
        option.form != "number" or math.isfinite(float(value))
    )
    if not choices and not fits:
        raise LineError(f"{option.flag} must be {words}, not {value!r}")


def _convert(option: Option, value: str) -> Any:
    try:
        return option.convert(value)
    except ConfigError as problem:
        raise LineError(problem.message) from None
    except ValueError as problem:
        raise LineError(f"{option.flag} must be {problem}, not {value!r}") from None


def did_you_mean(word: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


# ------------------------------------------------------------------------------------------- prompt


def prompt_text(body: str) -> str:
    """The prompt that a cell's body holds.  IPython ends every body with a newline: exactly one
    line end is taken off.

    PromptError if nothing but white space is left.
    """
    text = body.removesuffix("\n").removesuffix("\r")
    if grammar.is_blank(text):
        raise PromptError(
            "The cell holds no prompt. Nothing was sent.", hint="Write it below the %%opg line."
        )
    return text


def fill(template: str, namespace: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """``template`` with each ``{{name}}`` replaced once by its value, and the names used, in order
    of first use.

    Values are str, int or float (not bool: it is rarely meant); what they contain is never scanned
    again.  PromptError for anything else between double braces."""
    fixed, names = grammar.cut(template)
    plain = [name.strip() for name in names]
    values = {name: _value(name, namespace) for name in plain}
    filled = [values[name] + after for name, after in zip(plain, fixed[1:], strict=True)]
    return fixed[0] + "".join(filled), tuple(values)


def _value(name: str, namespace: Mapping[str, Any]) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        hint = "Between the braces stands one plain name."
        raise PromptError(
            f"{_short(name)!r} is not a variable's name. Nothing was sent.", hint=hint
        )
    if name not in namespace:
        near = get_close_matches(name, [n for n in namespace if not n.startswith("_")], n=1)
        raise PromptError(
            f"{name} is not defined. Nothing was sent.",
            hint=f"Did you mean {near[0]}?" if near else None,
        )
    return as_text(name, namespace[name], over="--over" in _BY_FLAG)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 40 else flat[:39] + "…"


# --------------------------------------------------------------------------------------------- help


def help_text() -> str:
    """The help of ``%%opg``, from the table above."""
    lines = [
        "Ask a model, check the answer on this machine, keep the receipt.",
        "",
        *(line.replace("\N{NO-BREAK SPACE}", " ") for line in _wrapped_usage()),
        "",
        "The prompt is the cell below the line; it is sent as it stands. The answer goes to name "
        "and to _.",
        "",
    ]
    width = max(len(o.flag) + len(o.metavar or "") for o in OPTIONS) + 3
    lines += [f"  {f'{o.flag} {o.metavar or str()}'.rstrip():<{width}} {o.help}" for o in OPTIONS]
    return "\n".join([*lines, "", "Other commands: %opg help"])


def _wrapped_usage() -> list[str]:
    import textwrap

    # No line ends between a flag and its value.
    whole = "%%opg [name] " + " ".join(o.usage.replace(" ", "\N{NO-BREAK SPACE}") for o in OPTIONS)
    return textwrap.wrap(
        whole, 100, subsequent_indent="      ", break_on_hyphens=False, break_long_words=False
    )


def help_markdown() -> str:
    """The same as a Markdown table, for the documentation."""
    rows = [f"| `{o.flag}{f' {o.metavar}' if o.metavar else ''}` | {o.help} |" for o in OPTIONS]
    return "\n".join(["| option | meaning |", "|---|---|", *rows])
