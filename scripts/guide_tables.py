"""The tables of docs/guide.md that list what there is: options, commands, settings, the shell.

Written from the tables that the program itself uses, between ``<!-- name -->`` and ``<!-- /name
-->``. ``python scripts/guide_tables.py`` writes them anew; a test holds that they are up to date.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import marked

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "guide.md"

#: How a project's value joins the user's, by the name of the function that joins them.
_TIGHTENED = {
    "min": "lower it",
    "stricter": "make it stricter",
    "union": "add to it",
    "more_often": "run more often",
    "one_route": "name one",
}


def tables() -> dict[str, str]:
    """Every table by its name in the guide, as Markdown."""
    return {"options": options(), "commands": commands(), "settings": settings(), "shell": shell()}


def options() -> str:
    """The options of ``%%opg``."""
    from opg_magic.cells.magic_line import OPTIONS

    rows = []
    for option in OPTIONS:
        value = "|".join(option.choices) if option.choices else option.metavar
        rows.append((_code(f"{option.flag} {value or ''}".strip()), option.help))
    return _table(("option", "meaning"), rows)


def commands() -> str:
    """The commands of ``%opg``."""
    from opg_magic.notebook.commands import COMMANDS

    return _table(
        ("command", "meaning"),
        [(_code(f"%opg {command.usage}"), command.help) for command in COMMANDS.values()],
    )


def settings() -> str:
    """The settings, their defaults, and what a project may do to them."""
    from opg_magic.settings.catalogue import SETTINGS
    from opg_magic.settings.config import Settings

    rows = []
    for option in SETTINGS:
        tightened = _TIGHTENED[option.tighten.__name__] if option.tighten else "–"
        rows.append(
            (_code(option.key), Settings.shown(option.key, option.default), tightened, option.help)
        )
    return _table(("setting", "default", "a project may", "meaning"), rows)


def shell() -> str:
    """The commands of ``opg``, with their flags."""
    rows = []
    for words, parser, about in shell_commands():
        usage = " ".join(
            [
                *words,
                *(
                    _usage(action)
                    for action in parser._actions
                    if action.dest != "help" and not isinstance(action, argparse._SubParsersAction)
                ),
            ]
        )
        rows.append((_code(usage), about))
    return _table(("command", "meaning"), rows)


def shell_commands() -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser, str]]:
    """Every command of ``opg`` as words, with its parser and its line of help."""
    from opg_magic.shell import attestation, main
    from opg_magic.simnet.process import command as simnet

    elsewhere = {
        "simnet": lambda: _leaves(("opg", "simnet"), simnet.parser()),
        "attestation": lambda: iter(
            [
                (
                    ("opg", "attestation", "verify"),
                    attestation.parser(),
                    "check a Nitro attestation document",
                )
            ]
        ),
    }
    for words, parser, about in _leaves(("opg",), main.parser()):
        if words[1] in elsewhere:
            yield from elsewhere[words[1]]()
        else:
            yield words, parser, about


def _leaves(
    words: tuple[str, ...], parser: argparse.ArgumentParser, about: str = ""
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser, str]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            if not action.required:
                yield words, parser, about
            for name, child in action.choices.items():
                yield from _leaves((*words, name), child, helps.get(name, ""))
            return
    yield words, parser, about


def _usage(action: argparse.Action) -> str:
    value = action.metavar or (
        "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
    )
    if not action.option_strings:
        return (
            f"[{value}]"
            if action.nargs == "?"
            else f"[{value}…]"
            if action.nargs == "*"
            else str(value)
        )
    shown = (
        action.option_strings[-1] if action.nargs == 0 else f"{action.option_strings[-1]} {value}"
    )
    return f"[{shown}]…" if isinstance(action, argparse._AppendAction) else f"[{shown}]"


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def updated(text: str) -> str:
    """The guide's text with every table as it should be."""
    return marked.filled(text, tables(), GUIDE.name)


if __name__ == "__main__":
    GUIDE.write_text(updated(GUIDE.read_text("utf-8")), "utf-8")
