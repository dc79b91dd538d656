"""Reads produced HTML as a browser would, and says whether it holds anything but what a card and an
answer may hold."""

from __future__ import annotations

from html.parser import HTMLParser

from opg_magic.display.markdown import ALLOWED, safe_link

#: What the card itself uses beyond rendered answers.
CARD = {
    "details": {"open", "style"},
    "summary": {"style"},
    "b": {"style"},
    "i": {"style"},
    "small": set(),
    "code": {"style"},
    "td": {"colspan", "style"},
}
VOID = {"br", "hr"}


class Inspector(HTMLParser):
    """Collects what is visible, and what is not allowed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.wrong: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        allowed = set(ALLOWED.get(tag, ())) | CARD.get(tag, set())
        if tag not in ALLOWED and tag not in CARD:
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            if name not in allowed:
                self.wrong.append(f"{tag} {name}={value!r}")
            if name == "style" and any(
                word in (value or "") for word in ("url(", "expression", "position", "@", "/*")
            ):
                self.wrong.append(f"style {value!r}")
            if name == "href":
                self.links.append(value or "")
                if not safe_link(value or ""):
                    self.wrong.append(f"href {value!r}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> out of place")

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"comment {data!r}")

    def handle_decl(self, decl: str) -> None:
        self.wrong.append(f"declaration {decl!r}")

    def handle_pi(self, data: str) -> None:
        self.wrong.append(f"instruction {data!r}")

    def handle_data(self, data: str) -> None:
        self.text += data


def inspect(html: str) -> Inspector:
    """The inspector after the whole of ``html``; unclosed tags count as wrong."""
    seen = Inspector()
    seen.feed(html)
    seen.close()
    seen.wrong += [f"<{tag}> left open" for tag in seen.open]
    return seen
