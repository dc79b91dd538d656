"""A prompt as it is typed, with its model's alias, its template and its files: the same in a cell
and in a shell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opg_magic.call.naming import model_for
from opg_magic.cells import context

if TYPE_CHECKING:
    from opg_magic.settings.config import Settings


@dataclass(frozen=True, slots=True)
class Composition:
    """What goes out, and what is to be said of it first (``announcement``, None if nothing)."""

    model: str
    prompt: context.Composed
    announcement: str | None


def composed(
    text: str,
    settings: Settings,
    *,
    model: str | None = None,
    network: str | None = None,
    template: str | None = None,
    files: Sequence[str] = (),
    piped: bytes | None = None,
    typed: str | None = None,
) -> Composition:
    """Return the prompt that ``text`` makes with the user's settings and files.

    ``piped``: what the file ``-`` holds.  ``typed``: the text before ``--vars`` filled it in.
    Raises :class:`ArgumentError` for a model, an alias, a template or a file that there is not;
    nothing was sent then."""
    chosen = model_for(model, settings, network)
    made = context.compose(
        text,
        template=None
        if template is None
        else (template, context.chosen(template, settings.get("templates"))),
        files=(read := context.read_files(files, piped)),
        typed=typed,
    )
    return Composition(chosen, made, _announced(read, chosen, settings) if read else None)


def _announced(files: Sequence[context.File], model: str, settings: Settings) -> str:
    """How much the files are, and what sending them costs by the list's price."""
    from opg_magic.settings import prices

    size = sum(file.size for file in files)
    tokens = sum(prices.estimate_tokens(file.text) for file in files)
    price = prices.load(settings.get("prices_file")).price(model)
    cost = "price unknown" if price is None else f"about ${prices.usd(price, tokens, 0):.4f}"
    names = ", ".join(file.name for file in files)
    return f"sent with the prompt: {names} ({size:,} bytes, about {tokens:,} tokens, {cost})"
