"""The parser of ``opg``: what was mistyped is answered with what may have been meant."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

_UNKNOWN_COMMAND = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """Refuses an unknown word with the usage of the command that it was given to, and with the
    nearest one that this command has."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; exits with 2."""
        words = list(sys.argv[1:] if args is None else args)
        command = self._command_of(words)
        if not words[len(command.prog.split()) - 1 :] and command._needs_one():
            command.print_help(sys.stderr)
            self.exit(2)
        found, unknown = self.parse_known_args(words, namespace)
        if unknown:
            command._refuse(unknown)
        return found

    def error(self, message: str) -> NoReturn:
        """As argparse's, with a suggestion for an unknown command."""
        match = _UNKNOWN_COMMAND.search(message)
        commands = self._commands()
        if match and commands is not None and match[1] not in commands:
            near = get_close_matches(match[1], commands, n=1)
            super().error(
                f"there is no command {match[1]!r}. "
                + (f"Did you mean {near[0]}?" if near else f"See: {self.prog} --help")
            )
        super().error(message)

    def _refuse(self, unknown: Sequence[str]) -> NoReturn:
        options = [name for action in self._actions for name in action.option_strings]
        told = f"unrecognized arguments: {' '.join(unknown)}"
        for word in unknown:
            name = word.partition("=")[0]
            near = get_close_matches(name, options, n=1) if name.startswith("-") else []
            if near:
                self.error(f"{told}. Did you mean {near[0]}?")
        self.error(told)

    def _command_of(self, words: Sequence[str]) -> Parser:
        """The parser of the command that these words begin with."""
        at = self
        for name in _names(words):
            commands = at._commands()
            if commands is None or name not in commands:
                break
            at = commands[name]
        return at

    def _needs_one(self) -> bool:
        return any(
            isinstance(action, argparse._SubParsersAction) and action.required
            for action in self._actions
        )

    def _commands(self) -> dict[str, Parser] | None:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                commands: dict[str, Parser] = action.choices
                return commands
        return None


def _names(words: Sequence[str]) -> Iterator[str]:
    return (word for word in words if not word.startswith("-"))
