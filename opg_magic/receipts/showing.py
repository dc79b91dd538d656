"""What a cell shows beside its receipt, held against the receipt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

from opg_magic import shown
from opg_magic.receipts.cells import joined
from opg_magic.receipts.notebook import Display
from opg_magic.receipts.receipt import MIME_TYPE, Receipt
from opg_magic.receipts.report import Level


def shown_text_matches(
    bundle: Mapping[str, Any], receipt: Receipt, *, render_html: Callable[[str], str] | None = None
) -> bool:
    """Whether a display's MIME bundle shows, as the answer, exactly the text that the receipt holds, or none at all.

    ``text/plain`` as :mod:`opg_magic.shown` defines it; ``text/markdown`` begins with the text in a fenced code block;
    ``text/html`` (compared if ``render_html`` is given) holds the rendered text before anything else that is visible.
    """
    return shown_fault(bundle, receipt, render_html) is None


#: All that a receipt's display is made of.
TYPES = ("text/plain", "text/markdown", "text/html", MIME_TYPE)


def shown_faults(
    display: Display, receipt: Receipt, render_html: Callable[[str], str] | None
) -> Iterator[tuple[Level, str, str]]:
    """What a display shows that is not its receipt's: level, code and words of each."""
    beyond = sorted(set(display.bundle) - set(TYPES))
    if beyond:
        names = ", ".join(shown.inert(name)[:80] for name in beyond[:3]) + (", …" if len(beyond) > 3 else "")
        yield "failed", "other-types", f"Beside the receipt the cell shows content of other types: {names}."
    if _isolated(display.metadata):
        message = "The display asks for a frame of its own (isolated), where a front end shows no check of it."
        yield "failed", "isolated", message
    fault = shown_fault(display.bundle, receipt, render_html)
    if fault is not None:
        yield "failed", "shown-text", fault


def _isolated(metadata: Mapping[str, Any]) -> bool:
    """Whether a front end is told, for all types or for one, to show the output in a frame of its own."""
    return any(
        "isolated" in part and part["isolated"] is not False
        for part in (metadata, *metadata.values())
        if isinstance(part, dict)
    )


def shown_fault(bundle: Mapping[str, Any], receipt: Receipt, render_html: Callable[[str], str] | None) -> str | None:
    """What the bundle shows that the receipt does not hold, in words; None if all is well."""
    response = receipt.document["response"]
    # What is shown of a tool call is the exact string that was signed.
    signed = response["text"] if response["text"] else (response["tool_calls"] or response["text"])
    plain = joined(bundle.get("text/plain"))
    if not plain:
        return "The cell shows no plain text of this receipt." if bundle.get("text/plain") is None else _DIFFERS
    if shown.RULE not in plain:
        return "The shown text does not say where the answer ends."
    part = shown.answer_part(plain)
    if part is not None:
        part = _without_banner(part, receipt)
        if signed is None or part != shown.inert(signed):
            return _DIFFERS
    if "text/markdown" in bundle:
        fenced = _fenced_part(joined(bundle["text/markdown"]) or "", receipt)
        if fenced != part:
            return "The text that the cell shows as Markdown is not the text that was signed."
    if render_html is not None and "text/html" in bundle:
        return _html_fault(joined(bundle["text/html"]) or "", signed if part is not None else None, render_html)
    return None


_DIFFERS = "The text that the cell shows is not the text that was signed."


def _without_banner(part: str, receipt: Receipt) -> str:
    """A withheld answer, shown on request, stands under a line that says so."""
    if receipt.withheld and part.startswith("✗ "):
        return part.partition("\n\n")[2]
    return part


def _fenced_part(markdown: str, receipt: Receipt) -> str | None:
    """The content of the code block that the Markdown begins with; None if it does not begin with one."""
    if receipt.withheld and markdown.startswith("**"):
        markdown = markdown.partition("\n")[2].lstrip("\n")
    opening = re.match(r"(~{3,})text\n", markdown)
    if opening is None:
        return None
    content, found, _ = markdown[opening.end() :].partition(f"\n{opening[1]}\n")
    return content if found else None


def _html_fault(html: str, signed: str | None, render_html: Callable[[str], str]) -> str | None:
    rendered = render_html(signed) if signed is not None else ""
    before, found, after = html.partition(rendered) if rendered else ("", "", html)
    if rendered and not found:
        return "The text that the cell shows as HTML is not the text that was signed."
    outside = _Outside()
    outside.feed(before)
    outside.close()
    if rendered and outside.words.strip() and not outside.words.strip().startswith("✗ "):
        return "The cell's HTML shows something before the signed text."
    outside.feed(after)
    outside.close()
    if outside.harmful:
        return f"The cell's HTML holds {outside.harmful}, with which other text can be laid over the signed text."
    return None


class _Outside(HTMLParser):
    """Reads the HTML around an answer: its words, and what could hide the answer or lay something over it."""

    _TAGS = frozenset(
        {"div", "span", "b", "code", "details", "summary", "table", "tbody", "thead", "tr", "td", "th", "br", "p", "a"}
    )
    _STYLE = re.compile(
        r"position|transform|display\s*:|visibility|opacity|z-index|url\s*\(|clip|filter|content|animation"
        r"|:\s*-[0-9.]|(?:^|;)\s*(?:max-)?height|font-size\s*:\s*0|color\s*:\s*transparent|text-indent",
        re.IGNORECASE,
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words = ""
        self.harmful: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self._TAGS:
            self.harmful = f"<{tag}>"
        for name, value in attrs:
            if name not in ("style", "open", "href", "rel", "target", "colspan"):
                self.harmful = f"the attribute {name}"
            elif name == "style" and self._STYLE.search(value or ""):
                self.harmful = "a style of its own"

    def handle_data(self, data: str) -> None:
        self.words += data
