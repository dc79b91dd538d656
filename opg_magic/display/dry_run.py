"""The card of a dry run: what a call would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opg_magic.display import words
from opg_magic.display.card import Card
from opg_magic.display.notes import Note

if TYPE_CHECKING:
    from opg_magic.models import Quote


def of_quote(quote: Quote, *, simulated: bool) -> Card:
    """What a call would cost (``--dry-run``): nothing was signed or paid."""
    price = quote.price
    facts = [
        f"{words.one_line(quote.model_sent, 80)} via host {quote.host.short_id}",
        "price unknown"
        if price is None
        else f"about {words.figure(quote.estimate)}"
        if quote.estimate is not None
        else "no estimate without --max-tokens",
        "the relay pays" if quote.cap is None else f"at most {quote.cap}",
    ]
    notes = []
    if price is not None:
        figures = f"${price.input_usd} in, ${price.output_usd} out a million tokens"
        notes.append(Note(f"Price: {figures} ({price.as_of}, {price.source})."))
    else:
        said = "" if quote.cap is None else "; the cap still holds"
        notes.append(Note(f"No price is known for this model{said}."))
    out = (
        "as many as the model writes"
        if quote.max_output_tokens is None
        else f"at most {quote.max_output_tokens:,} out"
    )
    notes.append(Note(f"Tokens: about {quote.prompt_tokens:,} in, {out}."))
    if quote.token_usd is not None:
        notes.append(Note(f"Token price: ${quote.token_usd} (the host's feed, not signed)."))
    notes.append(Note(_paying(quote)))
    notes += [Note(words.one_line(n)) for n in quote.notes]
    return Card(
        tone="quiet",
        simulated=simulated,
        headline="Dry run: nothing was paid",
        summary=tuple(facts),
        notes=tuple(notes),
        expanded=True,
    )


def _paying(quote: Quote) -> str:
    if quote.cap is None:
        return "Nothing is charged to you. Calls and tokens of the day count against your limits."
    session = (
        "An open payment session would carry it."
        if quote.reuses_session
        else "A new authorisation would be signed."
    )
    return f"{session} The cap is reserved against your limits."
