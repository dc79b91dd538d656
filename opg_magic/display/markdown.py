"""Model text as Markdown: rendered to HTML that can do nothing, or fenced so that no front end
renders it.

Rendered HTML holds only tags and attributes of :data:`ALLOWED`; all styles are constants of ours.
Raw HTML is text; images and reference definitions are shown as text too, since a reader must see
all that was signed; TeX is not typeset, because a typesetter could move marks over the card."""

from __future__ import annotations

import re
from typing import Any

from opg_magic.display import inert_html
from opg_magic.display.inert_html import ALLOWED, WRAP, safe_link
from opg_magic.display.style import FAINT
from opg_magic.models.plain_text import fenced, inert

__all__ = ["ALLOWED", "fenced", "plain_markdown", "safe_link", "to_html", "verbatim_html"]

_LONGEST_RENDERED = 200_000
#: Cells of tables: a parser fills each row up to its heading's, and not every version of ours has a
#: bound.
_MOST_CELLS = 50_000


def to_html(text: str) -> str:
    """Model text rendered as Markdown, inert.  Text that is very long, deeply nested or costly is
    shown verbatim."""
    if len(text) > _LONGEST_RENDERED or _cells(text) > _MOST_CELLS:
        return verbatim_html(text)
    if not text.strip():
        return f'<div style="{FAINT}">(an answer without visible text)</div>\n'
    from opg_magic.display import rendered_markdown

    renderer = rendered_markdown.renderer()
    env: dict[str, Any] = {}
    tokens = renderer.parse(inert(text), env)
    # The parser drops what lies deeper than its limit; nothing that was signed may vanish.
    if env.get("costly") or any(token.level >= rendered_markdown.NESTING - 2 for token in tokens):
        return verbatim_html(text)
    return str(renderer.renderer.render(tokens, renderer.options, {}))


def _cells(text: str) -> int:
    """At most so many cells the tables in it have: in each block, lines times the most bars of
    one."""
    blocks = [block.split("\n") for block in re.split(r"\n[ \t]*\n", text)]
    return sum(len(lines) * max(line.count("|") for line in lines) for lines in blocks)


def verbatim_html(text: str) -> str:
    """Model text as it is, in one block, wrapped at the edge."""
    return f'<div style="{WRAP}">{inert_html.text(text)}</div>\n'


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
_REFERENCES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;"} | {c: c for c in ".-:()+!"}
