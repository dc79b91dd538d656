"""What the rows of a table ask, and what the ledger answers of it already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from opg_magic.models import Prompt
from opg_magic.table.frames import Frame
from opg_magic.table.rows import Rows, rows_of
from opg_magic.table.template import Template

if TYPE_CHECKING:
    from opg_magic.call.session import Session
    from opg_magic.call.state import CallOptions
    from opg_magic.models import Answer

#: Prompts that are looked up in the ledger at once: their receipts are in memory for that long.
_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Question:
    """What each row of a table asks.  ``base`` is its prompt but for the text; ``added`` names the
    new columns, the first of which holds data where ``is_data``.  With ``dedupe`` equal prompts are
    asked once."""

    template: Template
    base: Prompt
    added: tuple[str, ...]
    is_data: bool
    end_at_failure: bool
    dedupe: bool = True

    def prompt(self, text: str) -> Prompt:
        """Return the whole prompt of a row."""
        return replace(self.base, text=text)

    def key(self, text: str) -> bytes:
        """Return the ledger's key of a row's request (SHA-256).  Raises PromptError for one that
        cannot be sent."""
        from opg_magic.ledger.index import prompt_key

        return bytes.fromhex(prompt_key(self.prompt(text)))

    def rows(self, frame: Frame) -> Rows:
        """Return the prompts of a table, or of a part.  Raises ArgumentError."""
        return rows_of(frame, self.template, dedupe=self.dedupe)

    def columns(self, columns: Sequence[list[Any]]) -> dict[str, list[Any]]:
        """Return the new columns by their names."""
        return dict(zip(self.added, columns, strict=True))

    def recorded(
        self, keys: Iterable[bytes], session: Session, options: CallOptions
    ) -> Iterator[Answer | None]:
        """What the ledger answers under these keys, in their order: some are read at a time."""
        from opg_magic.call.repeating import is_such

        wanted, options = [key.hex() for key in keys], session.by_id(options)
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            found = session.recorded_under(
                some, options, fits=lambda receipt: is_such(receipt, self.base, options)
            )
            yield from map(found.get, some)
