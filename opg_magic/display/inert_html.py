"""The HTML that model text may become: its tags and attributes, our constant styles, and text that
nothing reads as markup.  Light: no parser is here."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opg_magic.display.style import BORDER, MONO
from opg_magic.models.plain_text import inert

if TYPE_CHECKING:
    from markdown_it.token import Token

#: Tag -> attributes that rendered model text may hold.
ALLOWED: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("p", "div", "span", "strong", "em", "s", "code", "pre", "ul", "li", "blockquote", "hr",
         "br", "table", "thead", "tbody", "tr", "th", "td", "h1", "h2", "h3", "h4", "h5", "h6"),
        frozenset({"style"}),
    ),
    "ol": frozenset({"style", "start"}),
    "a": frozenset({"href", "rel", "target", "style"}),
}  # fmt: skip
_SCHEMES = ("http", "https", "mailto")

WRAP = "white-space:pre-wrap;overflow-wrap:anywhere"
STYLES = {
    "pre": f"{MONO};margin:0 0 10px;padding:8px 10px;{WRAP};border:1px solid {BORDER}",
    "code": MONO,
    # Nothing that looks like the card: no shade, no coloured edge.
    "blockquote": f"margin:0 0 10px;padding:0 0 0 12px;background:none;border:0;border-left:1px "
    f"dotted {BORDER}",
    "table": "margin:0 0 10px;border-collapse:collapse",
    "cell": f"padding:3px 10px;border:1px solid {BORDER}",
}


def text(content: str) -> str:
    """Text for HTML: escaped, control characters visible, and the delimiters of TeX set apart so
    that none is found."""
    return re.sub(r"[$\\]", r"<span>\g<0></span>", escape(inert(content)))


def safe_link(href: str) -> bool:
    """Only absolute http, https and mailto links, without user info (which makes one host look like
    another)."""
    try:
        parts = urlsplit(href.strip())
        if parts.scheme.lower() == "mailto":
            return bool(parts.path)
        return parts.scheme.lower() in _SCHEMES and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


def tag(token: Token) -> str:
    """The tag of a token; nothing for a token that may not have one."""
    if token.hidden or token.tag not in ALLOWED:
        return ""
    if token.nesting == -1:
        return f"</{token.tag}>" + ("\n" if token.block else "")
    style = STYLES.get("cell" if token.tag in ("th", "td") else token.tag, "")
    if token.tag in ("th", "td"):
        align = str(token.attrGet("style") or "").removeprefix("text-align:")
        style += f";text-align:{align if align in ('left', 'center', 'right') else 'left'}"
    start = token.attrGet("start") if token.tag == "ol" else None
    attributes = (f' start="{int(start)}"' if start is not None else "") + (
        f' style="{style}"' if style else ""
    )
    return f"<{token.tag}{attributes}>" + (
        "\n" if token.block and token.tag in ("ul", "ol", "table", "tr", "hr") else ""
    )
