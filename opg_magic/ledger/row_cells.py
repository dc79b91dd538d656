"""A call of the ledger as the cells of a table's row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from opg_magic.ledger.columns import ALL_COLUMNS, COLUMNS, DAMAGED, NOT_SENT, UNCHECKED, UNFINISHED
from opg_magic.ledger.records import LedgerRow
from opg_magic.models import Charge, Money, Verdict, VerdictStatus
from opg_magic.models.networks import Token
from opg_magic.protocol.frame import SignedFields, read_signed_fields
from opg_magic.receipt.collected import collected
from opg_magic.receipt.document import withheld
from opg_magic.receipt.thread import thread_name


def table_cells(row: LedgerRow, *, audit: bool = False) -> dict[str, Any]:
    """One call's cells, by the names of :data:`opg_magic.ledger.columns.COLUMNS` and
    ``withheld_answer``; with ``audit`` also those of ``AUDIT_COLUMNS``.  None where nothing is
    known."""
    names = ALL_COLUMNS if audit else COLUMNS
    cells: dict[str, Any] = dict.fromkeys([*names, "withheld_answer"])
    cells.update(id=row.id, time=row.created_at)
    damage = row.damage
    if row.document is not None:
        try:
            cells.update(_from_receipt(row.document))
            if audit:
                cells.update(_for_audit(row.document))
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            damage = "its document is not a receipt"
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
        if audit and call.authorisation is not None:
            cells.update(
                payer=call.authorisation.payer,
                payee=call.authorisation.pay_to,
                nonce=str(call.authorisation.nonce),
            )
    return cells


def _for_audit(d: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of ``AUDIT_COLUMNS``."""
    checked, payment, frame = d["checked"], d["payment"], d["response"]["frame"]
    cells: dict[str, Any] = {
        "raw_sha256": d["response"]["raw_sha256"],
        "thread": thread_name(d),
        "settlement_mode": d["request"]["settlement"],
        "settlement_tx": (d["settlement"] or {}).get("tx_hash"),
    }
    signed = None if frame is None else read_signed_fields(frame)
    if isinstance(signed, SignedFields):
        cells["request_hash"] = signed.request_hash.hex()
        cells["output_hash"] = signed.output_hash.hex()
        cells["signed_at"] = _unix(signed.timestamp)
    if payment:
        authorisation, settled = payment["authorisation"], payment.get("settled") or {}
        cells["payer"], cells["payee"] = authorisation["payer"], authorisation["pay_to"]
        cells["nonce"] = authorisation["nonce"]
        cells["payment_status"], cells["payment_tx"] = settled.get("status"), settled.get("tx_hash")
    for claim in checked["claims"] if checked else ():
        basis = f":{claim['basis']}" if claim["basis"] else ""
        cells[f"check_{claim['name']}"] = f"{claim['status']}{basis}"
    return cells


def _unix(seconds: int) -> datetime | None:
    # A table of pandas begins in 1677 and ends in 2262.
    return datetime.fromtimestamp(seconds, UTC) if 0 <= seconds < 2**33 else None


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
