"""``%opg audit-model``: whether a model answers a battery as a reference did."""

from __future__ import annotations

import argparse
from typing import NoReturn

from opg_magic.call.model_audit_words import add_options
from opg_magic.cells.magic_line import LineError
from opg_magic.notebook.commands.command import Kernel


class _Words(argparse.ArgumentParser):
    """The shell's grammar; what is wrong is told as any other line's fault is."""

    def error(self, message: str) -> NoReturn:
        raise LineError(f"%opg audit-model: {message}")


def audit_model(kernel: Kernel, words: list[str]) -> None:
    """``%opg audit-model``"""
    parser = _Words(add_help=False, allow_abbrev=False)
    add_options(parser)
    options = parser.parse_args(words)
    from opg_magic.call import model_auditing

    outcome = model_auditing.run(kernel.session(), options, say=_say)
    print(*outcome.lines, sep="\n")
    kernel.result(outcome)


def _say(line: str) -> None:
    print(line, flush=True)
