"""A run of open weights over the call's request and answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from opg_magic.models import WeightsEvidence
from opg_magic.receipt.parts.interface import Judged
from opg_magic.receipt.parts.values import iso, time_of

_SAMPLING = ("top_k", "top_p", "min_p")


def write(judged: Judged) -> dict[str, Any] | None:
    """The run, where there was one."""
    found = judged.evidence.weights
    return None if found is None else weights_json(found)


def weights_json(run: WeightsEvidence) -> dict[str, Any]:
    """A run as JSON data."""
    values = asdict(run)
    sampling = {name: values.pop(name) for name in _SAMPLING}
    return {
        **values,
        "sampling": sampling,
        "tokens": list(run.tokens),
        "misses": [list(miss) for miss in run.misses],
        "at": iso(run.at),
    }


def read(document: Mapping[str, Any]) -> WeightsEvidence | None:
    """The run as it is judged."""
    d = document.get("weights")
    if d is None:
        return None
    values = {key: value for key, value in d.items() if key != "sampling"}
    values |= {
        "tokens": tuple(d["tokens"]),
        "misses": tuple((at, rank, gap) for at, rank, gap in d["misses"]),
        "at": time_of(d["at"]),
    }
    return WeightsEvidence(**values, **d["sampling"])
