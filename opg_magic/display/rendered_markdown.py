"""Markdown parsed and rendered by markdown-it, so that every tag is one of ours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from opg_magic.display import inert_html
from opg_magic.display.inert_html import STYLES
from opg_magic.display.style import FAINT

NESTING = 60
# Each may open a link, and the parser looks for its end at every level of nesting: some 40 µs for
# each.
_MOST_BRACKETS = 4_000


class Renderer(RendererHTML):
    """Writes every tag itself, so that nothing a token carries becomes an attribute unseen."""

    def text(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return inert_html.text(tokens[idx].content)

    def code_inline(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f'<code style="{STYLES["code"]}">{inert_html.text(tokens[idx].content)}</code>'

    def code_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f'<pre style="{STYLES["pre"]}">{inert_html.text(tokens[idx].content)}</pre>\n'

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        info = tokens[idx].info.strip()
        caption = (
            f'<div style="font-size:12px;{FAINT}">{inert_html.text(info)}</div>' if info else ""
        )
        return caption + self.code_block(tokens, idx, options, env)

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token = tokens[idx]
        alt = inert_html.text(self.renderInlineAsText(token.children or [], options, env))
        where = inert_html.text(str(token.attrGet("src") or ""))
        return f'<span style="{FAINT}">[image not loaded: {alt} {where}]</span>'

    def html_inline(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return inert_html.text(tokens[idx].content)

    html_block = html_inline

    def hardbreak(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return "<br>\n"

    def softbreak(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return "\n"

    def link_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        href = str(tokens[idx].attrGet("href") or "")
        env["link"] = idx  # links do not nest
        return f'<a href="{escape(href)}" rel="noopener noreferrer nofollow ugc" target="_blank">'

    def link_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        start = env.pop("link")
        href, title = str(tokens[start].attrGet("href") or ""), tokens[start].attrGet("title")
        words = "".join(t.content for t in tokens[start + 1 : idx])
        more = f" “{title}”" if title else ""
        if words == href and not more:
            return "</a>"
        return f'</a> <span style="font-size:12px;{FAINT}">({inert_html.text(href + more)})</span>'

    def renderToken(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return inert_html.tag(tokens[idx])


@lru_cache(maxsize=1)
def renderer() -> MarkdownIt:
    """The parser with our renderer; ``env["costly"]`` is set for text that it would take long
    for."""
    # No "reference": its definitions would vanish from what is shown.
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTING}, renderer_cls=Renderer)
    parser.enable(["table", "strikethrough"]).disable(["reference", "html_block", "html_inline"])
    parser.core.ruler.after("block", "bounded", _bounded)
    parser.validateLink = inert_html.safe_link  # type: ignore[assignment,method-assign]
    parser.normalizeLinkText = lambda url: url  # type: ignore[assignment,method-assign]
    return parser


def _bounded(state: StateCore) -> None:
    if (
        sum(token.content.count("[") for token in state.tokens if token.type == "inline")
        > _MOST_BRACKETS
    ):
        state.env["costly"] = True
        state.tokens = []
