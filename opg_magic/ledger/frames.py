"""The ledger as a DataFrame: one row per call, typed the same whether there are rows or not.

Base units are exact Python integers (dtype ``object``): a sum of 64-bit integers overflows silently
at 9.2 whole tokens of 18 decimals.  ``cost_opg``, ``settled_opg`` and ``cost_usd`` are floats for
convenience.  Where a figure is not known it is missing, never zero.  ``cost`` is what the host
claims, ``settled`` the call's share of what the chain shows."""

from __future__ import annotations

import difflib
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from opg_magic.errors import ConfigError
from opg_magic.ledger.columns import (
    ALL_COLUMNS,
    COLUMNS,
    FIXED_CATEGORIES,
    LABELS,
    NO_VERDICT,
    STATUSES,
)
from opg_magic.ledger.row_cells import table_cells
from opg_magic.ledger.search import candidates, holds, search_terms
from opg_magic.ledger.store import Ledger, LedgerRow
from opg_magic.models import arguments

if TYPE_CHECKING:
    import pandas as pd

Moment = str | date | datetime


def receipts(
    ledger: Ledger | None = None,
    *,
    since: Moment | None = None,
    until: Moment | None = None,
    notebook: str | None = None,
    model: str | None = None,
    verdict: str | None = None,
    network: str | None = None,
    host: str | None = None,
    kernel: str | None = None,
    search: str | None = None,
    columns: str = "default",
    include_withheld: bool = False,
) -> pd.DataFrame:
    """Return one row per call, oldest first, failed and interrupted calls included, nothing cut
    off.

    ``since`` ≤ time < ``until``: a datetime, a date, or ISO 8601 text; without a zone it is UTC,
    and a bare date as ``until`` includes that day.  ``today``, ``yesterday``, ``3 days ago`` and
    ``12 hours ago`` are understood.  ``notebook``: its name or path.  ``model``: as asked or as
    answered, with or without provider.  ``verdict``: VERIFIED (never a simulated one), SIMULATED,
    PARTIAL, UNVERIFIED or FAILED, or a word that stands for one (below).  ``host``: the beginning
    of a tee_id.  ``search``: words that all occur, in any case, in prompt, answer, tool calls,
    problem, model, notebook or id; in double quotes they stand together.

    ``columns``: ``default``, or ``audit`` for payment, hashes, signed time and a column per check
    besides (:data:`opg_magic.ledger.columns.AUDIT_COLUMNS`).

    ``answer`` is empty where the answer was withheld; ``include_withheld`` adds a column
    ``withheld_answer``. A row without verdict says why in its place: NOT SENT (nothing left this
    machine), UNFINISHED (it never ended: its kernel died; the charge is ``unknown``), UNCHECKED, or
    DAMAGED: the ledger holds something else than what was saved, of which nothing is shown."""
    audit = arguments.choice("columns", columns, ("default", "audit")) == "audit"
    return frame(
        chosen_rows(
            ledger or Ledger(),
            since=since,
            until=until,
            notebook=notebook,
            model=model,
            verdict=verdict,
            network=network,
            host=host,
            kernel=kernel,
            search=search,
            audit=audit,
        ),
        audit=audit,
        include_withheld=arguments.flag("include_withheld", include_withheld),
    )


def chosen_rows(
    ledger: Ledger,
    *,
    since: Moment | None = None,
    until: Moment | None = None,
    notebook: str | None = None,
    model: str | None = None,
    verdict: str | None = None,
    network: str | None = None,
    host: str | None = None,
    kernel: str | None = None,
    search: str | None = None,
    audit: bool = False,
) -> list[tuple[LedgerRow, dict[str, Any]]]:
    """The ledger's rows that pass the filters of :func:`receipts`, each with its table cells, with
    those for an ``audit`` if wanted."""
    text = arguments.optional_text
    notebook, model, network = (
        text("notebook", notebook),
        text("model", model),
        text("network", network),
    )
    host, kernel = text("host", host), text("kernel", kernel)
    wanted = _wanted_verdict(text("verdict", verdict))
    if kernel is not None and not kernel.isascii():
        arguments.refuse("kernel", "a kernel's id", kernel)
    terms = search_terms(text("search", search))
    found = []
    for row in ledger.rows(
        since=_moment(since),
        until=_moment(until, end=True),
        kernel=kernel,
        among=candidates(ledger, terms),
    ):
        cells = table_cells(row, audit=audit)
        if holds(cells, terms) and (
            (notebook is None or _is_notebook(cells["notebook"], notebook))
            and (
                model is None
                or any(_is_model(cells[c], model) for c in ("model", "model_answered"))
            )
            and (wanted is None or _is_verdict(cells["verdict"], wanted))
            and (network is None or cells["network"] == network)
            and (
                host is None
                or (cells["tee_id"] or "")
                .removeprefix("0x")
                .startswith(host.lower().removeprefix("0x"))
            )
        ):
            found.append((row, cells))
    return found


def frame(
    rows: list[tuple[LedgerRow, dict[str, Any]]],
    *,
    audit: bool = False,
    include_withheld: bool = False,
) -> pd.DataFrame:
    """Table cells as a DataFrame with the dtypes of :mod:`opg_magic.ledger.columns`."""
    import pandas as pd

    columns = dict(ALL_COLUMNS if audit else COLUMNS)
    if include_withheld:
        columns["withheld_answer"] = "text"
    series = {}
    for name, kind in columns.items():
        values = [cells[name] for _, cells in rows]
        if kind == "time":
            series[name] = pd.Series(pd.to_datetime(values, utc=True)).astype("datetime64[us, UTC]")
        elif kind == "category":
            fixed = FIXED_CATEGORIES.get(name)
            known = fixed or sorted({v for v in values if v is not None})
            dtype = pd.CategoricalDtype(pd.Index(known, dtype="object").astype("str"))
            series[name] = pd.Series(values, dtype=dtype)
        else:
            dtypes = {
                "text": "string",
                "int": "Int64",
                "float": "float64",
                "bool": "boolean",
                "units": "object",
            }
            series[name] = pd.Series(values, dtype=dtypes[kind])
    return pd.DataFrame(series)


# ------------------------------------------------------------------------------------------ filters


def _moment(value: Moment | None, *, end: bool = False) -> datetime | None:
    if value is None:
        return None
    if (
        type(value).__module__ == "numpy"
        and hasattr(value, "item")
        and getattr(value, "ndim", None) == 0
    ):
        value = value.item()  # a datetime64 as the date or datetime that it is
    if not isinstance(value, str | date) or value != value:  # NaT is not itself
        arguments.refuse(
            "since" if not end else "until", "a datetime, a date or ISO 8601 text", value
        )
    if isinstance(value, str):
        text = value.strip()
        try:
            value = _relative(text) or (
                date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)
            )
        except ValueError:
            raise ConfigError(
                f"{arguments.shown(text)} is not a time.",
                hint="Write yesterday, 2026-11-20 or 2026-11-20T22:10+01:00 (UTC without a zone).",
            ) from None
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    start = datetime.combine(value, time(), UTC)
    return (
        datetime.max.replace(tzinfo=UTC)
        if end and value == date.max
        else start + timedelta(days=end)
    )


_AGO = re.compile(r"(\d{1,4}) ?(days?|d|hours?|h) ago")


def _relative(text: str) -> date | None:
    """``today``, ``yesterday``, ``3 days ago`` (days of UTC), ``12 hours ago``; None for anything
    else."""
    now = datetime.now(UTC)
    word = text.lower()
    if word in ("today", "yesterday"):
        return now.date() - timedelta(days=word == "yesterday")
    match = _AGO.fullmatch(word)
    if match is None:
        return None
    number = int(match[1])
    days = match[2][0] == "d"
    return now.date() - timedelta(days=number) if days else now - timedelta(hours=number)


def _wanted_verdict(verdict: str | None) -> str | None:
    if verdict is None:
        return None
    wanted = verdict.strip().upper()
    if wanted in LABELS or wanted in STATUSES:
        return wanted
    near = difflib.get_close_matches(wanted, LABELS, 1)
    raise ConfigError(
        f"There is no verdict {arguments.shown(verdict)}.",
        hint=f"Did you mean {near[0]}?"
        if near
        else f"There are {', '.join((*STATUSES, 'SIMULATED', *NO_VERDICT))}.",
    )


def _is_verdict(label: str | None, wanted: str) -> bool:
    # "FAILED" finds a simulated failure too; "VERIFIED" never finds a simulated success, whose
    # label is SIMULATED.
    return label is not None and wanted in (label, label.rpartition(" · ")[2])


def _is_notebook(name: str | None, wanted: str) -> bool:
    return name is not None and (name == wanted or name.replace("\\", "/").endswith("/" + wanted))


def _is_model(name: str | None, wanted: str) -> bool:
    return name is not None and (
        name == wanted or name.rpartition("/")[2] == wanted.rpartition("/")[2]
    )
