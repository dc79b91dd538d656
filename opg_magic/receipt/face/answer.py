"""A display before its card: the answer, and the line that ends it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opg_magic.models.plain_text import RULE, block, fenced, inert
from opg_magic.receipt.calls import call_text, read_calls
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.face.figures import escaped

BANNER = "✗ Shown because you asked: the text below did not pass"


def signed_text(receipt: Receipt) -> str | None:
    """What is shown of an answer: its text, or the exact string of its tool calls."""
    response = receipt.document["response"]
    text: str | None = response["text"] or response["tool_calls"] or response["text"]
    return text


def calls_of(receipt: Receipt) -> str | None:
    """The calls of tools that stand in place of an answer's text, a line each, as a person reads
    them.  None where there are none, or they have no such form."""
    response = receipt.document["response"]
    found = None if response["text"] else read_calls(response["tool_calls"])
    if found is None:
        return None
    return "\n".join(call_text(call.name, call.arguments) for call in found)


def beginnings(
    receipt: Receipt, *, show: bool, former: bool = False, calls: bool = False
) -> dict[str, str]:
    """What stands before the card in each text: the answer, under a line that warns of it where it
    was withheld.  ``former``: as forms up to ``card 2`` had it; ``calls``: with calls of tools as
    :func:`calls_of` has them."""
    text = signed_text(receipt) if show else None
    if text is None:
        return {
            "text/plain": "",
            "text/markdown": "",
            "text/html": '<div style="font-family:inherit">',
        }
    read = calls_of(receipt) if calls else None
    if read is None:
        plain, markdown = f"{inert(text)}\n\n", f"{fenced(text)}\n"
        html = answer_html(text, former=former)
    else:
        plain, markdown, html = f"{read}\n\n", f"{block(read)}\n", calls_html(read, text)
    if receipt.withheld:
        plain = f"{BANNER}\n\n{plain}"
        markdown = f"**{BANNER}**\n\n{markdown}"
        html = f"<p><b>{BANNER}</b></p>{html}"
    return {
        "text/plain": plain,
        "text/markdown": markdown,
        "text/html": f'<div style="font-family:inherit">{html}',
    }


def rule(receipt: Receipt, form: str, *, show: bool, calls: bool = False) -> str:
    """The line between answer and card.  It counts the answer, so that a line which imitates it
    betrays itself."""
    text = signed_text(receipt) if show else None
    read = calls_of(receipt) if calls else None
    count = None if text is None else len(inert(text) if read is None else read)
    what = (
        "no answer is shown"
        if count is None
        else f"the {count} character{'' if count == 1 else 's'} above are the answer"
    )
    return f"{RULE}{receipt.id} · {what} · {form} ────"


_MONO = (
    "font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace);font-size:12px"
)
_PRE = f"{_MONO};margin:6px 0;white-space:pre-wrap;overflow-wrap:anywhere"
_EMPTY = re.compile(r"[ \t\n]*\Z")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"#{1,6} ")
_INLINE = re.compile(r"(`[^`]+`|\*\*[^*]+\*\*)")


def answer_html(text: str, *, former: bool = False) -> str:
    """The answer for a page, every character of it in its order; what is only emphasised stays as
    it was written.

    Fenced code and tables stand in a block of their own, headings, bold words and code are set off.
    No more: a Markdown renderer is another program tomorrow, and this must come out the same.
    No line of it is empty (``former``: some are): in a Markdown file, where nbconvert puts this
    HTML, an empty line would end it and make Markdown of what follows."""
    shown = inert(text)
    if _EMPTY.match(shown):
        return '<div style="margin:0 0 8px">(an answer without visible text)</div>'
    parts: list[str] = []
    for is_block, lines in _blocks(shown.split("\n")):
        if is_block:
            parts.append(f'<pre style="{_PRE}">{_block(lines, former=former)}</pre>')
        else:
            parts.append("<br>\n".join(map(_prose, lines)))
    return f'<div style="margin:0 0 8px;overflow:auto;max-width:100%">{"".join(parts)}</div>'


def calls_html(read: str, signed: str) -> str:
    """Calls of tools for a page; what was signed to the letter opens below them."""
    raw = _block(inert(signed).split("\n"), former=False)
    return (
        f'<div style="margin:0 0 8px;overflow:auto;max-width:100%"><pre style="{_PRE}">'
        f"{_block(read.split(chr(10)), former=False)}</pre>"
        f"<details><summary><small>As signed</small></summary>"
        f'<pre style="{_PRE}">{raw}</pre></details></div>'
    )


def _blocks(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Runs of lines: (whether a block of code or a table, its lines)."""
    fence: str | None = None
    run: list[str] = []
    kind = ""
    for line in lines:
        found = _FENCE.match(line)
        closes = fence is not None and found is not None and found[1].startswith(fence)
        opens = fence is None and found is not None
        now = "code" if fence is not None or opens else "table" if line.startswith("|") else "prose"
        if run and (now != kind or opens):
            yield kind != "prose", run
            run = []
        run.append(line)
        kind = now
        if opens and found is not None:
            fence = found[1]
        elif closes:
            fence = None
            yield True, run
            run = []
    if run:
        yield kind != "prose", run


def _block(lines: list[str], *, former: bool) -> str:
    ends = ["\n" if former or not _EMPTY.match(line) else "&#10;" for line in lines[1:]]
    return "".join(f"{end}{escaped(line)}" for end, line in zip(["", *ends], lines, strict=True))


def _prose(line: str) -> str:
    if _HEADING.match(line):
        return f"<b>{_spaced(line)}</b>"
    parts = []
    for number, part in enumerate(_INLINE.split(line)):
        tag = "" if number % 2 == 0 else "code" if part.startswith("`") else "b"
        parts.append(f"<{tag}>{_spaced(part)}</{tag}>" if tag else _spaced(part))
    return "".join(parts)


def _spaced(text: str) -> str:
    """Spaces that a page would swallow are kept."""
    return escaped(text).replace("\t", "&nbsp;&nbsp;&nbsp; ").replace("  ", "&nbsp; ")
