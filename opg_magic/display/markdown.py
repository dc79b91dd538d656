"""Model text as Markdown: rendered to HTML that can do nothing, or fenced so that no front end
renders it.

Rendered HTML holds only tags and attributes of :data:`ALLOWED`; all styles are constants of ours.
Raw HTML is text; images and reference definitions are shown as text too, since a reader must see
all that was signed; TeX is not typeset, because a typesetter could move marks over the card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opg_magic.display.style import BORDER, FAINT, MONO
from opg_magic.models.plain_text import fenced, inert

__all__ = ["ALLOWED", "fenced", "plain_markdown", "safe_link", "to_html", "verbatim_html"]

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

#: Tag -> attributes that rendered model text may hold.
ALLOWED: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("p", "div", "span", "strong", "em", "s", "code", "pre", "ul", "li", "blockquote", "hr", "br", "table", "thead",
         "tbody", "tr", "th", "td", "h1", "h2", "h3", "h4", "h5", "h6"),
        frozenset({"style"}),
    ),
    "ol": frozenset({"style", "start"}),
    "a": frozenset({"href", "rel", "target", "style"}),
}  # fmt: skip

_SCHEMES = ("http", "https", "mailto")
_NESTING = 60
_LONGEST_RENDERED = 200_000
# Each may open a link, and the parser looks for its end at every level of nesting: some 40 µs for
# each.
_MOST_BRACKETS = 4_000

_WRAP = "white-space:pre-wrap;overflow-wrap:anywhere"
_STYLES = {
    "pre": f"{MONO};margin:0 0 10px;padding:8px 10px;{_WRAP};border:1px solid {BORDER}",
    "code": MONO,
    # Nothing that looks like the card: no shade, no coloured edge.
    "blockquote": f"margin:0 0 10px;padding:0 0 0 12px;background:none;border:0;border-left:1px "
    f"dotted {BORDER}",
    "table": "margin:0 0 10px;border-collapse:collapse",
    "cell": f"padding:3px 10px;border:1px solid {BORDER}",
}


def to_html(text: str) -> str:
    """Model text rendered as Markdown, inert.  Text that is very long, deeply nested or costly is
    shown verbatim."""
    if len(text) > _LONGEST_RENDERED:
        return verbatim_html(text)
    if not text.strip():
        return f'<div style="{FAINT}">(an answer without visible text)</div>\n'
    renderer = _renderer()
    env: dict[str, Any] = {}
    tokens = renderer.parse(inert(text), env)
    # The parser drops what lies deeper than its limit; nothing that was signed may vanish.
    if env.get("costly") or any(token.level >= _NESTING - 2 for token in tokens):
        return verbatim_html(text)
    return str(renderer.renderer.render(tokens, renderer.options, {}))


def verbatim_html(text: str) -> str:
    """Model text as it is, in one block, wrapped at the edge."""
    return f'<div style="{_WRAP}">{_text(text)}</div>\n'


def plain_markdown(text: str) -> str:
    """Our own short sentence (which may quote foreign words) as Markdown text without any markup of
    its own."""
    flat = " ".join(inert(text).split())
    return re.sub(
        r"([\\`*_{}\[\]()#+\-!|~$<>&:@.])",
        lambda m: _REFERENCES.get(m.group(), "\\" + m.group()),
        flat,
    )


# In the middle of a line these need no escape in CommonMark, and reading the source is easier
# without.
_REFERENCES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", ".": ".", "-": "-", ":": ":", "(": "(", ")": ")", "+": "+",
               "!": "!", "@": "&#64;"}  # fmt: skip


def _text(content: str) -> str:
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


@lru_cache(maxsize=1)
def _renderer() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML

    class Renderer(RendererHTML):
        """Writes every tag itself, so that nothing a token carries becomes an attribute unseen."""

        def text(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
            return _text(tokens[idx].content)

        def code_inline(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
            return f'<code style="{_STYLES["code"]}">{_text(tokens[idx].content)}</code>'

        def code_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
            return f'<pre style="{_STYLES["pre"]}">{_text(tokens[idx].content)}</pre>\n'

        def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
            info = tokens[idx].info.strip()
            caption = f'<div style="font-size:12px;{FAINT}">{_text(info)}</div>' if info else ""
            return caption + self.code_block(tokens, idx, options, env)

        def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
            token = tokens[idx]
            alt = self.renderInlineAsText(token.children or [], options, env)
            where = str(token.attrGet("src") or "")
            return f'<span style="{FAINT}">[image not loaded: {_text(alt)} {_text(where)}]</span>'

        def html_inline(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
            return _text(tokens[idx].content)

        html_block = html_inline

        def hardbreak(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
            return "<br>\n"

        def softbreak(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
            return "\n"

        def link_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
            href = str(tokens[idx].attrGet("href") or "")
            env["link"] = idx  # links do not nest
            return (
                f'<a href="{escape(href)}" rel="noopener noreferrer nofollow ugc" target="_blank">'
            )

        def link_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
            start = env.pop("link")
            href, title = str(tokens[start].attrGet("href") or ""), tokens[start].attrGet("title")
            words = "".join(t.content for t in tokens[start + 1 : idx])
            more = f" “{title}”" if title else ""
            if words == href and not more:
                return "</a>"
            return f'</a> <span style="font-size:12px;{FAINT}">({_text(href + more)})</span>'

        def renderToken(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
            return _tag(tokens[idx])

    def bounded(state: StateCore) -> None:
        if (
            sum(token.content.count("[") for token in state.tokens if token.type == "inline")
            > _MOST_BRACKETS
        ):
            state.env["costly"] = True
            state.tokens = []

    # No "reference": its definitions would vanish from what is shown.
    parser = MarkdownIt(
        "commonmark", {"html": False, "maxNesting": _NESTING}, renderer_cls=Renderer
    )
    parser.enable(["table", "strikethrough"]).disable(["reference", "html_block", "html_inline"])
    parser.core.ruler.after("block", "bounded", bounded)
    parser.validateLink = safe_link  # type: ignore[assignment,method-assign]
    parser.normalizeLinkText = lambda url: url  # type: ignore[assignment,method-assign]
    return parser


def _tag(token: Token) -> str:
    if token.hidden or token.tag not in ALLOWED:
        return ""
    if token.nesting == -1:
        return f"</{token.tag}>" + ("\n" if token.block else "")
    style = _STYLES.get("cell" if token.tag in ("th", "td") else token.tag, "")
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
