"""The hosts as a table: what the registry and the attestation say, and how their answers came
out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from opg_magic.display import html, words
from opg_magic.display.style import BORDER, FAINT, MONO, TEXT, TONES
from opg_magic.models.plain_text import plural

if TYPE_CHECKING:
    from opg_magic.call.overview import HostRow

#: Hosts at most that are known from the ledger alone.
MOST = 20

_CELL = (
    "padding:3px 14px 3px 0;text-align:left;vertical-align:top;border:0;"
    f"border-bottom:1px solid {BORDER}"
)
_TABLE = f"border-collapse:collapse;font-size:13px;color:{TEXT}"
_HEADS = ("host", "ID", "registry", "attestation", "verdicts", "note")

#: By a host's ID: how many of its answers came to each verdict.
Verdicts = Mapping[str, Mapping[str, int]]


def verdicts_by_host(calls: Iterable[Mapping[str, Any]], network: str) -> Verdicts:
    """The verdicts of one network's calls, from table cells, the host that was called last
    first."""
    found: dict[str, Counter[str]] = {}
    for call in calls:
        if call["network"] == network and call["tee_id"] and call["verdict"]:
            found.setdefault(call["tee_id"], Counter())[call["verdict"]] += 1
    return found


def hosts_html(rows: list[HostRow], verdicts: Verdicts | None = None) -> str:
    """Those in ``rows``, which were asked, and those that only the ledger knows."""
    verdicts = verdicts or {}
    asked = {row.host.tee_id for row in rows}
    others = [tee_id for tee_id in verdicts if tee_id not in asked]
    if not rows and not others:
        return f'<div style="{FAINT}">No host is listed.</div>'
    lines = [_asked(row, verdicts.get(row.host.tee_id, {})) for row in rows]
    lines += [_known(tee_id, verdicts[tee_id], listed=bool(rows)) for tee_id in others[:MOST]]
    head = "".join(f'<th style="{_CELL};font-weight:600;{FAINT}">{h}</th>' for h in _HEADS)
    more = len(others) - MOST
    tail = (
        f'<div style="font-size:12px;{FAINT}">{plural(more, "earlier host")} in the ledger: '
        "%opg receipts.</div>"
    )
    return f'<table style="{_TABLE}"><tr>{head}</tr>{"".join(lines)}</table>' + tail * (more > 0)


def _asked(row: HostRow, verdicts: Mapping[str, int]) -> str:
    usable = row.active and row.attestation == "good" and row.set_aside is None
    tone, mark = (TONES["ok"], "✓ usable") if usable else (TONES["bad"], "✗ not used")
    if (
        not usable
        and row.active
        and row.attestation not in ("good", "refused", "unreachable")
        and row.set_aside is None
    ):
        tone, mark = TONES["warn"], "○ unproven"
    why = "; ".join(words.one_line(w, 200) for w in (row.set_aside, row.reason) if w)
    return _line(
        f'<span style="color:{tone}">{mark}</span> {html.text(words.one_line(row.name or "", 60))}',
        row.host.tee_id,
        "active" if row.active else "not active",
        words.one_line(row.attestation, 60),
        verdicts,
        why,
    )


def _known(tee_id: str, verdicts: Mapping[str, int], *, listed: bool) -> str:
    """A host that was not among those that were asked."""
    return _line("", tee_id, "not listed now" if listed else "not asked yet", "", verdicts, "")


def _line(
    mark: str, tee_id: str, registry: str, attestation: str, verdicts: Mapping[str, int], why: str
) -> str:
    counted = ", ".join(f"{verdicts[label]:,} {label}" for label in sorted(verdicts))
    cells = (
        mark,
        f'<span style="{MONO}">{html.text(words.short_hash(tee_id))}</span>',
        registry,
        html.text(attestation),
        html.text(counted),
        f'<span style="{FAINT}">{html.text(why)}</span>',
    )
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"
