"""An answer on a terminal while it comes.

Only a terminal gets unchecked text, and it is told so: what reads a pipe or a file cannot take
back what it was given."""

from __future__ import annotations

import sys
from typing import TextIO

from opg_magic.models import Phase, Progress
from opg_magic.models.plain_text import inert


class Stream:
    """Prints what comes, made inert, to ``out``; what there is to say of it, to ``aside``."""

    def __init__(self, out: TextIO | None = None, aside: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._aside = aside or sys.stderr
        self._shown = ""

    def __call__(self, progress: Progress) -> None:
        """One step of the call."""
        if progress.phase is not Phase.ANSWER or not progress.text:
            return
        text = inert(progress.text)
        if not text.startswith(self._shown):  # what came last changes how the text before is shown
            return
        if not self._shown:
            print("Not checked yet:", file=self._aside, flush=True)
        self._out.write(text[len(self._shown) :])
        self._out.flush()
        self._shown = text

    def ended(self, text: str) -> bool:
        """The answer passed: print what is still missing of it.  Returns whether all of it stands
        there now; if not, print it anew."""
        whole = inert(text)
        if not self._shown:
            return False
        if not whole.startswith(self._shown):
            print("\n\nThe answer that passed:", file=self._aside, flush=True)
            return False
        print(whole[len(self._shown) :], file=self._out, flush=True)
        return True

    def failed(self) -> None:
        """No answer passed: say so of what stands there."""
        if self._shown:
            print(file=self._out, flush=True)
            print("The text above did not pass the checks. Do not use it.\n", file=self._aside)
