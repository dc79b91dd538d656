"""``%opg code``: the code of an answer as the next cell, to be read, edited and run like any other.

Nothing is run here."""

from __future__ import annotations

from opg_magic.cells.magic_line import LineError
from opg_magic.models.plain_text import inert
from opg_magic.notebook.commands.command import Kernel
from opg_magic.shapes import code_blocks


def code(kernel: Kernel, words: list[str]) -> None:
    """``%opg code``"""
    if len(words) > 1:
        raise LineError("%opg code takes one receipt ID, or last")
    answer = kernel.session().show(words[0] if words else "last")
    found = code_blocks(answer.text)
    if not found:
        raise LineError(f"answer {answer.receipt.id} holds no block of code")
    # What would reorder or hide letters is made visible: the code is read before it is run.
    kernel.shell.set_next_input(inert("\n\n".join(found)))
    count = "1 block" if len(found) == 1 else f"{len(found)} blocks"
    print(
        f"The next cell holds {count} of code of answer {answer.receipt.id}. It was not run: read "
        "it first."
    )
