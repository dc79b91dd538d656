"""A prompt with places for a row's cells.  It is filled in once: a cell that holds ``{{…}}`` itself
stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from opg_magic.errors import ArgumentError

_PLACE = re.compile(r"\{\{([^{}]++)\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """The text between the places (``pieces``, one more than there are places), and the column that
    each place names."""

    text: str
    pieces: tuple[str, ...]
    places: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the template names, each once, in their order there."""
        return tuple(dict.fromkeys(self.places))

    def render(self, cells: Mapping[str, str]) -> str:
        """Return the prompt of one row."""
        parts = [self.pieces[0]]
        for name, piece in zip(self.places, self.pieces[1:], strict=True):
            parts += (cells[name], piece)
        return "".join(parts)


def template(text: str, columns: Sequence[str]) -> Template:
    """Return a prompt's template over these columns.

    Raises :class:`ArgumentError` for one that names no column, or one that there is not."""
    split = _PLACE.split(text)
    made = Template(text, tuple(split[::2]), tuple(name.strip() for name in split[1::2]))
    if not made.places:
        example = columns[0] if columns else "column"
        raise ArgumentError(
            "The prompt names no column, so every row would ask the same. Nothing was sent.",
            hint=f"Name one in double braces, as in: Classify: {{{{{example}}}}}",
        )
    for name in made.columns:
        if name not in columns:
            near = get_close_matches(name, columns, n=1)
            shown = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
            unnamed = next((one for one in columns if one.strip(" {}\t\n") == name), None)
            if unnamed is not None:
                hint = f"Rename {unnamed!r}: a prompt names no braces, and no spaces at the ends."
            else:
                hint = f"Did you mean {near[0]}?" if near else f"Columns: {shown}"
            raise ArgumentError(f"There is no column {name[:80]!r}. Nothing was sent.", hint=hint)
    return made
