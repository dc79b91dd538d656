"""The ledger as a DataFrame: one row a call, typed the same whether there are rows or not.

Base units are exact Python integers (dtype ``object``): a sum of 64-bit integers overflows silently
at 9.2 whole tokens of 18 decimals.  ``cost_opg``, ``settled_opg`` and ``cost_usd`` are floats for
convenience.  Where a figure is not known it is missing, never zero.  ``cost`` is what the host
claims, ``settled`` the call's share of what the chain shows."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from opg_magic.errors import ConfigError
from opg_magic.ledger.store import Ledger, LedgerRow
from opg_magic.models import Charge, Money, Verdict, VerdictStatus, arguments
from opg_magic.models.networks import Token
from opg_magic.receipt.collected import collected
from opg_magic.receipt.document import withheld

if TYPE_CHECKING:
    import pandas as pd

_STATUSES = tuple(s.value for s in VerdictStatus)

#: What stands for a verdict where there is none: nothing left this machine; the call never ended;
#: its answer was not judged; the ledger holds something else than what was saved.
NO_VERDICT = (NOT_SENT, UNFINISHED, UNCHECKED, DAMAGED) = (
    "NOT SENT",
    "UNFINISHED",
    "UNCHECKED",
    "DAMAGED",
)

#: Every label that a verdict can bear; a simulated one is never a bare VERIFIED.
LABELS = (
    *(Verdict(s, simulated, {}, "").label for simulated in (False, True) for s in VerdictStatus),
    *NO_VERDICT,
)

#: Column to kind: ``time``, ``text``, ``category``, ``int`` (nullable), ``float``, ``bool``
#: (nullable), ``units`` (exact Python integers of base units).
COLUMNS: Mapping[str, str] = {
    "time": "time",
    "id": "text",
    "notebook": "category",
    "cell": "int",
    "model": "category",
    "model_answered": "category",
    "host": "category",
    "verdict": "category",
    "simulated": "bool",
    "withheld": "bool",
    "charge": "category",
    "cost_opg": "float",
    "cost_usd": "float",
    "cost_base_units": "units",
    "settled_opg": "float",
    "settled_base_units": "units",
    "cap_base_units": "units",
    "token": "category",
    "prompt_tokens": "int",
    "completion_tokens": "int",
    "seconds": "float",
    "prompt": "text",
    "answer": "text",
    "tool_calls": "text",
    "problem": "text",
    "policy": "category",
    "network": "category",
    "tee_id": "category",
    "kernel": "category",
    "digest": "text",
}

_FIXED_CATEGORIES = {"verdict": LABELS, "charge": tuple(c.value for c in Charge)}

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
    include_withheld: bool = False,
) -> pd.DataFrame:
    """One row a call, oldest first, failed and interrupted calls included; nothing is ever cut off.

    ``since`` ≤ time < ``until``: a datetime, a date, or ISO 8601 text; without a zone it is UTC,
    and a bare date as ``until`` includes that day.  ``notebook``: its name or path.  ``model``: as
    asked or as answered, with or without provider.  ``verdict``: VERIFIED (never a simulated one),
    SIMULATED, PARTIAL, UNVERIFIED or FAILED, or a word that stands for one (below).  ``host``: the
    beginning of a tee_id.

    ``answer`` is empty where the answer was withheld; ``include_withheld`` adds a column
    ``withheld_answer``. A row without verdict says why in its place: NOT SENT (nothing left this
    machine), UNFINISHED (it never ended: its kernel died; the charge is ``unknown``), UNCHECKED, or
    DAMAGED: the ledger holds something else than what was saved, of which nothing is shown."""
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
        ),
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
) -> list[tuple[LedgerRow, dict[str, Any]]]:
    """The ledger's rows that pass the filters of :func:`receipts`, each with its table cells."""
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
    found = []
    for row in ledger.rows(since=_moment(since), until=_moment(until, end=True), kernel=kernel):
        cells = table_cells(row)
        if (
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
    rows: list[tuple[LedgerRow, dict[str, Any]]], *, include_withheld: bool = False
) -> pd.DataFrame:
    """Table cells as a DataFrame with the dtypes of :data:`COLUMNS`."""
    import pandas as pd

    columns = dict(COLUMNS)
    if include_withheld:
        columns["withheld_answer"] = "text"
    series = {}
    for name, kind in columns.items():
        values = [cells[name] for _, cells in rows]
        if kind == "time":
            series[name] = pd.Series(pd.to_datetime(values, utc=True)).astype("datetime64[us, UTC]")
        elif kind == "category":
            fixed = _FIXED_CATEGORIES.get(name)
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


# -------------------------------------------------------------------------------------------- a row


def table_cells(row: LedgerRow) -> dict[str, Any]:
    """One call's cells, by the names of :data:`COLUMNS` and ``withheld_answer``; None where nothing
    is known."""
    cells: dict[str, Any] = dict.fromkeys([*COLUMNS, "withheld_answer"])
    cells.update(id=row.id, time=row.created_at)
    damage = row.damage
    if row.document is not None:
        try:
            cells.update(_from_receipt(row.document))
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            damage = "its document is no receipt"
    if damage is not None:
        # Nothing else is shown of what may be anything.
        cells.update(
            verdict=DAMAGED, charge=Charge.UNKNOWN.value, problem=f"damaged in the ledger: {damage}"
        )
    elif row.call is not None:
        call = row.call
        cells.update(
            notebook=call.notebook,
            cell=call.cell,
            model=call.model,
            host=_short(call.tee_id),
            verdict=NOT_SENT if call.ending else UNFINISHED,
            simulated=call.simulated,
            withheld=True,
            charge=call.charge.value,
            cost_opg=float("nan"),
            cap_base_units=call.authorisation.cap if call.authorisation else None,
            settled_base_units=call.settled,
            settled_opg=_tokens(call.settled, call.token),
            token=call.token.symbol if call.token else None,
            prompt=call.prompt,
            problem=call.reason
            or (
                None if call.ending else "begun, and never ended: the kernel died or still runs it"
            ),
            network=call.network.partition(":")[0],
            tee_id=call.tee_id,
            kernel=call.kernel_id,
        )
    return cells


def _from_receipt(d: Mapping[str, Any]) -> dict[str, Any]:
    response, checked, payment = d["response"], d["checked"], d["payment"]
    usage, host, kept_back = response["usage"] or {}, d["host"] or {}, withheld(d)
    came = collected(d)
    cells = {
        "notebook": d["notebook"]["name"],
        "cell": d["notebook"]["cell"],
        "model": d["request"]["model_requested"],
        "model_answered": response["model"],
        "host": _short(host.get("tee_id")),
        "verdict": Verdict(VerdictStatus(checked["verdict"]), checked["simulated"], {}, "").label
        if checked
        else UNCHECKED,
        "simulated": bool(d["network"]["simulated"] or (checked and checked["simulated"])),
        "withheld": kept_back,
        "charge": came.charge.value,
        "prompt_tokens": _int64(usage.get("prompt_tokens")),
        "completion_tokens": _int64(usage.get("completion_tokens")),
        "seconds": (_time(d["received_at"]) - _time(d["sent_at"])).total_seconds(),
        "prompt": d["prompt"]["text"],
        "answer": None if kept_back else response["text"],
        "withheld_answer": response["text"] if kept_back else None,
        "tool_calls": None if kept_back else response["tool_calls"],
        "problem": response["problem"]["message"] if response["problem"] else None,
        "policy": checked["policy"] if checked else None,
        "network": d["network"]["name"],
        "tee_id": host.get("tee_id"),
        "kernel": d["notebook"]["kernel"],
        "digest": d["digest"],
    }
    if payment:
        cost = payment["cost"]
        cells["token"] = payment["token"]["symbol"]
        cells["cap_base_units"] = int(payment["authorisation"]["cap"])
        cells["cost_usd"] = (
            float(Decimal(payment["cost_usd"])) if payment["cost_usd"] is not None else None
        )
        if cost:
            amount = Money(int(cost["amount"]), Token(**cost["token"]))
            cells["cost_base_units"], cells["cost_opg"] = amount.amount, float(amount.decimal)
        if came.settled is not None:
            share = Money(came.settled, Token(**payment["token"]))
            cells["settled_base_units"], cells["settled_opg"] = share.amount, float(share.decimal)
    return cells


def _tokens(amount: int | None, token: Token | None) -> float | None:
    return None if amount is None or token is None else float(Money(amount, token).decimal)


def _int64(value: int | None) -> int | None:
    return value if value is None or value < 2**63 else None


def _short(tee_id: str | None) -> str | None:
    return f"{tee_id[2:6]}…{tee_id[-4:]}" if tee_id else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


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
            value = date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)
        except ValueError:
            raise ConfigError(
                f"{arguments.shown(text)} is not a time.",
                hint="Write 2026-11-20 or 2026-11-20T22:10+01:00 (UTC without a zone).",
            ) from None
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    start = datetime.combine(value, time(), UTC)
    return (
        datetime.max.replace(tzinfo=UTC)
        if end and value == date.max
        else start + timedelta(days=end)
    )


def _wanted_verdict(verdict: str | None) -> str | None:
    if verdict is None:
        return None
    wanted = verdict.strip().upper()
    if wanted in LABELS or wanted in _STATUSES:
        return wanted
    near = difflib.get_close_matches(wanted, LABELS, 1)
    raise ConfigError(
        f"There is no verdict {arguments.shown(verdict)}.",
        hint=f"Did you mean {near[0]}?"
        if near
        else f"There are {', '.join((*_STATUSES, 'SIMULATED', *NO_VERDICT))}.",
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
