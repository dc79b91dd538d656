"""Runs of open weights as they could have come out, without running any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from support.signing import RECEIVED

from opg_magic.models import Evidence, WeightsEvidence
from opg_magic.verify.weights import ANY_RUNTIME, hashed

#: A nat, in the unit of the figures.
NAT = 1_000_000


def run_over(
    evidence: Evidence,
    misses: Sequence[tuple[int, int, int]] = (),
    *,
    tokens: int = 100,
    **given: Any,
) -> WeightsEvidence:
    """A run over this call's own request and answer; ``misses`` are (index, rank, gap)."""
    values: dict[str, Any] = {
        "model": "huggingfacetb/smollm2-135m-instruct",
        "weights_sha256": "ab" * 32,
        "tokenizer_sha256": "cd" * 32,
        "template_sha256": "ef" * 32,
        "runtime": "xllamacpp 2026.10.11549",
        "top_k": 40,
        "top_p": "0.95",
        "min_p": "0.05",
        "request_sha256": hashed(evidence.request.canonical),
        "answer_sha256": hashed(evidence.response.text or ""),
        "prompt_tokens": 37,
        "tokens": tuple(range(tokens)),
        "end": True,
        "misses": tuple(misses),
        "tolerance": ANY_RUNTIME,
        "surplus": None,
        "variance": None,
        "outside": None,
        "at": RECEIVED,
    }
    return WeightsEvidence(**values | given)
