"""Runs of open weights as they could have come out, without running any."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from support.signing import RECEIVED

from opg_magic.models import Evidence, WeightsEvidence
from opg_magic.verify.weights import ANY_RUNTIME, hashed

#: An answer of 100 tokens and more.
TEXT = "Honey bees live in hives, fly from flower to flower, and make honey of what they find. " * 3
#: A nat, in the unit of the figures.
NAT = 1_000_000


def run_over(
    evidence: Evidence,
    misses: Sequence[tuple[int, int, int]] = (),
    *,
    tokens: int | None = None,
    **given: Any,
) -> WeightsEvidence:
    """A run over this call's own request and answer; ``misses`` are (index, rank, gap).

    ``tokens`` is how many there are, 100 unless the answer has fewer bytes."""
    text = evidence.response.text or ""
    count = min(100, len(text.encode())) if tokens is None else tokens
    asked = json.loads(evidence.request.canonical)
    values: dict[str, Any] = {
        "model": asked["model"],
        "weights_sha256": "ab" * 32,
        "tokenizer_sha256": "cd" * 32,
        "template_sha256": "ef" * 32,
        "runtime": "xllamacpp 2026.10.11549",
        "top_k": 40,
        "top_p": "0.95",
        "min_p": "0.05",
        "request_sha256": hashed(evidence.request.canonical),
        "answer_sha256": hashed(text),
        "prompt_tokens": 37,
        "tokens": tuple(range(count)),
        "end": True,
        "misses": tuple(misses),
        "tolerance": ANY_RUNTIME,
        "surplus": None,
        "variance": None,
        "outside": None,
        "at": RECEIVED,
    }
    return WeightsEvidence(**values | given)
