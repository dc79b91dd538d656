"""What a cell shows beside its receipt, compared with what the receipt itself gives.

Nothing here reads HTML or Markdown: a display's texts are compared with those of
:mod:`opg_magic.receipt.face`, byte for byte.  Where that cannot be (a display of another version, a
card that says more than its receipt), the finding says so, and nothing vouches for those words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from opg_magic.audit.findings import Checked, Level
from opg_magic.audit.notebook import Display
from opg_magic.audit.sources import joined
from opg_magic.models import VerdictStatus, plain_text
from opg_magic.receipt import face
from opg_magic.receipt.document import MIME_TYPE, Receipt

#: The texts of a display, as a person calls them.
_TEXTS = {"text/plain": "plain text", "text/markdown": "Markdown", "text/html": "HTML"}
#: All that a receipt's display is made of.
TYPES = (*_TEXTS, MIME_TYPE)

Fault = tuple[Level, str, str]


def shown_text_matches(bundle: Mapping[str, Any], receipt: Receipt) -> bool:
    """Whether a display's MIME bundle shows nothing that contradicts its receipt, as far as can be
    compared."""
    return not [
        level for level, _, _ in shown_faults(Display(bundle), receipt) if level == "failed"
    ]


def shown_faults(display: Display, receipt: Receipt) -> Iterator[Fault]:
    """What a display shows that is not its receipt's, and what could not be compared: level, code
    and words of each."""
    yield from form_faults(display, TYPES)
    texts = {type: joined(display.bundle[type]) for type in _TEXTS if type in display.bundle}
    if not texts.get("text/plain"):
        yield "failed", "shown-text", "The cell shows no plain text of this receipt."
        return
    yield from _compared({type: text or "" for type, text in texts.items()}, receipt)


def form_faults(display: Display, types: tuple[str, ...]) -> Iterator[Fault]:
    """What a display holds besides these types, and where it asks to be shown apart."""
    beyond = sorted(set(display.bundle) - set(types))
    if beyond:
        names = ", ".join(plain_text.inert(name)[:80] for name in beyond[:3]) + (
            ", …" if len(beyond) > 3 else ""
        )
        yield (
            "failed",
            "other-types",
            f"Beside the receipt the cell shows content of other types: {names}.",
        )
    if _isolated(display.metadata):
        message = (
            "The display asks for a frame of its own (isolated), where a front end shows no check "
            "of it."
        )
        yield "failed", "isolated", message


def saved_fault(receipt: Receipt, now: Checked) -> Fault | None:
    """Where the verdict that the saved card tells and the one computed here differ in what a reader
    relies on.

    A card quotes its author's kernel wherever it does not say "verified": words that a verdict of
    now must not cover."""
    then = receipt.verdict_at_creation
    if (
        now.verdict.simulated
        and then is not None
        and not (then.simulated or receipt.document["network"]["simulated"])
    ):
        return (
            "failed",
            "saved-differs",
            "The saved card does not say that the network was simulated; here it is.",
        )
    if then is None or then.outcome is VerdictStatus.VERIFIED is now.verdict.outcome:
        return None
    here = now.verdict.outcome
    if here is VerdictStatus.FAILED:
        names = ", ".join(claim.name for claim in now.verdict.failed_claims)
        told = f"The saved card says {then.outcome.value.lower()}; here {names} failed."
        return None if then.outcome is here else ("failed", "saved-differs", told)
    if then.outcome is not VerdictStatus.VERIFIED and (
        now.accepted or then.outcome is VerdictStatus.FAILED
    ):
        told = (
            "its card does not say verified, and quotes its author's kernel in words that were not "
            "compared"
        )
        return "incomplete", "saved-differs", f"Here it is {here.value.lower()}; {told}."
    return None


def _isolated(metadata: Mapping[str, Any]) -> bool:
    """Whether a front end is told, for all types or for one, to show the output in a frame of its
    own."""
    return any(
        "isolated" in part and part["isolated"] is not False
        for part in (metadata, *metadata.values())
        if isinstance(part, dict)
    )


def _compared(texts: Mapping[str, str], receipt: Receipt) -> Iterator[Fault]:
    plain = texts["text/plain"]
    for show in (True, False):
        for form, (former, calls, make) in face.FORMS.items():
            starts = face.beginnings(receipt, show=show, former=former, calls=calls)
            line = face.rule(receipt, form, show=show, calls=calls)
            if plain.startswith(starts["text/plain"] + line):
                # An answer may say the same: only the card's own lines count.
                card = plain[len(starts["text/plain"]) :]
                remarks = tuple(remark for remark in face.REMARKS if f"\n  {remark}\n" in card)
                made = None if make is None else make(receipt, show=show, remarks=remarks)
                yield from _differences(texts, starts, made)
                return
    yield from _other_form(texts, receipt)


def _differences(
    texts: Mapping[str, str], starts: Mapping[str, str], made: Mapping[str, str] | None
) -> Iterator[Fault]:
    """``made`` None: the card is in words of its author's."""
    answers = [_TEXTS[type] for type, text in texts.items() if not text.startswith(starts[type])]
    if answers:
        yield (
            "failed",
            "shown-text",
            f"The text that the cell shows as {_listed(answers)} is not the text that was signed.",
        )
    if made is None:
        message = (
            "The saved card says more than its receipt holds; those words were not compared with "
            "anything."
        )
        yield "incomplete", "not-compared", message
        return
    cards = [
        _TEXTS[type]
        for type, text in texts.items()
        if text.startswith(starts[type]) and text != made[type]
    ]
    if cards:
        yield (
            "failed",
            "shown-card",
            f"The card that the cell shows as {_listed(cards)} is not the one of this receipt.",
        )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# -------------------------------------------------------------------------- displays of other forms


def _other_form(texts: Mapping[str, str], receipt: Receipt) -> Iterator[Fault]:
    """A display of version 0.1, or of one to come: its text and Markdown are compared, no card, no
    HTML."""
    plain = texts["text/plain"]
    if plain_text.RULE not in plain:
        yield "failed", "shown-text", "The shown text does not say where the answer ends."
        return
    part = plain_text.answer_part(plain)
    if part is not None:
        part = _without_banner(part, receipt)
    signed = face.signed_text(receipt)
    if part is not None and (signed is None or part != plain_text.inert(signed)):
        yield (
            "failed",
            "shown-text",
            "The text that the cell shows as plain text is not the text that was signed.",
        )
    elif _named_form(plain) in face.FORMS:
        yield (
            "failed",
            "shown-card",
            "The card that the cell shows as plain text is not the one of this receipt.",
        )
    elif "text/markdown" in texts and _fenced_part(texts["text/markdown"], receipt) != part:
        yield (
            "failed",
            "shown-text",
            "The text that the cell shows as Markdown is not the text that was signed.",
        )
    elif _is_of_01(plain) and not texts.get("text/html", _BOX).startswith(_BOX):
        yield (
            "failed",
            "shown-text",
            "The text that the cell shows as HTML is not the text that was signed.",
        )
    else:
        message = (
            "The display is of another version: its HTML and its card were not compared with the "
            "receipt."
        )
        yield "incomplete", "not-compared", message


#: How all HTML of version 0.1 began.
_BOX = '<div style="font-family:inherit">'


def _is_of_01(plain: str) -> bool:
    return _named_form(plain) == "no answer is shown" or _named_form(plain).endswith(
        " above are the answer"
    )


def _named_form(plain: str) -> str:
    """The form that the line between answer and card names; the last such line counts."""
    line = plain.rpartition(plain_text.RULE)[2].partition("\n")[0]
    return line.removesuffix(" ────").rpartition(" · ")[2]


def _without_banner(part: str, receipt: Receipt) -> str:
    """A withheld answer, shown on request, stands under a line that says so."""
    if receipt.withheld and part.startswith("✗ "):
        return part.partition("\n\n")[2]
    return part


def _fenced_part(markdown: str, receipt: Receipt) -> str | None:
    """The content of the code block that the Markdown begins with; None if it does not begin with
    one."""
    if receipt.withheld and markdown.startswith("**"):
        markdown = markdown.partition("\n")[2].lstrip("\n")
    opening = re.match(r"(~{3,})text\n", markdown)
    if opening is None:
        return None
    content, found, _ = markdown[opening.end() :].partition(f"\n{opening[1]}\n")
    return content if found else None
