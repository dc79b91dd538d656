"""The columns of the ledger's table: their kinds, their order, and the words in them."""

from __future__ import annotations

from collections.abc import Mapping

from opg_magic.models import CLAIM_NAMES, Charge, Verdict, VerdictStatus

#: The words of a verdict.
STATUSES = tuple(s.value for s in VerdictStatus)

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
#: (nullable), ``units`` (exact Python integers of base units).  What one reads first comes first.
COLUMNS: Mapping[str, str] = {
    "time": "time",
    "prompt": "text",
    "verdict": "category",
    "charge": "category",
    "cost_opg": "float",
    "answer": "text",
    "model": "category",
    "host": "category",
    "notebook": "category",
    "cell": "int",
    "id": "text",
    "problem": "text",
    "settled_opg": "float",
    "cost_usd": "float",
    "seconds": "float",
    "prompt_tokens": "int",
    "completion_tokens": "int",
    "tool_calls": "text",
    "model_answered": "category",
    "simulated": "bool",
    "withheld": "bool",
    "cost_base_units": "units",
    "settled_base_units": "units",
    "cap_base_units": "units",
    "token": "category",
    "policy": "category",
    "network": "category",
    "tee_id": "category",
    "kernel": "category",
    "digest": "text",
}

#: What an auditor needs besides (``columns="audit"``, and every export): the payment, what the host
#: signed, its conversation, how it was to be published, and each check as the author's kernel found
#: it, with what it rested on (``passed:proven``).
AUDIT_COLUMNS: Mapping[str, str] = {
    "signed_at": "time",
    "request_hash": "text",
    "output_hash": "text",
    "raw_sha256": "text",
    "payer": "category",
    "payee": "category",
    "nonce": "text",
    "payment_status": "category",
    "payment_tx": "text",
    "thread": "category",
    "settlement_mode": "category",
    "settlement_tx": "text",
    **{f"check_{name}": "category" for name in CLAIM_NAMES},
}

#: All of them, in order.
ALL_COLUMNS: Mapping[str, str] = {**COLUMNS, **AUDIT_COLUMNS}

#: Columns whose words are known beforehand.
FIXED_CATEGORIES = {"verdict": LABELS, "charge": tuple(c.value for c in Charge)}
