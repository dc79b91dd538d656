"""The answer as it came, and the signed frame in which it stood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opg_magic.models import Problem, ResponseEvidence
from opg_magic.receipt.form import SAFE
from opg_magic.receipt.parts.interface import Judged
from opg_magic.receipt.parts.values import clip


def write(judged: Judged) -> dict[str, Any]:
    """The answer; figures that JSON cannot carry exactly are left out of ``usage``."""
    r = judged.evidence.response
    return {
        "stream": r.stream,
        "text": r.text,
        "tool_calls": r.tool_calls,
        "finish_reason": clip(r.finish_reason, 64),
        "frame": r.frame,
        "raw_sha256": r.raw_sha256,
        "raw_size": r.raw_size,
        "model": clip(r.model, 256),
        # The host's word; figures that JSON cannot carry exactly are left out (the frame holds them
        # all).
        "usage": None
        if r.usage is None
        else {
            str(k)[:64]: v
            for k, v in list(r.usage.items())[:32]
            if type(v) is int and 0 <= v <= SAFE
        },
        "problem": None
        if r.problem is None
        else {"code": clip(r.problem.code, 64), "message": clip(r.problem.message, 4096)},
        "unsigned_text": r.unsigned_text,
    }


def read(document: Mapping[str, Any]) -> ResponseEvidence:
    """The answer as it is judged."""
    d = document["response"]
    return ResponseEvidence(
        **{k: d[k] for k in d if k not in ("usage", "problem")},
        usage=dict(d["usage"]) if d["usage"] is not None else None,
        problem=Problem(**d["problem"]) if d["problem"] is not None else None,
    )
