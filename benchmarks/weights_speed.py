"""Checking an answer of 100 tokens against its weights, beside generating it: one thread each."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import weights
from figures import Figure, figure, interleaved

FETCHED = Path(__file__).resolve().parent.parent / ".venvs" / "weights"
TOKENS = 100
#: Answers that are this long or longer; the same for both.
_PROMPT = "Tell a long story about a lighthouse."


def measure(rounds: int = 9) -> list[Figure]:
    """Milliseconds for a whole check and for the answer that it is of; none where no model can run
    here."""
    from opg_magic.weights import fetch
    from opg_magic.weights.check import job
    from opg_magic.weights.runner import Runner

    own = fetch.cached(fetch.SMOLLM2, FETCHED) or fetch.cached(fetch.SMOLLM2)
    if own is None or find_spec("xllamacpp") is None:
        print("  left out: no open model can run here (make test fetches one)", flush=True)
        return []
    messages = [{"role": "user", "content": _PROMPT}]
    turns = [{"role": "system", "content": ""}, *messages]
    host = weights.Host(own, threads=1)
    try:
        text, ended = host.answer(turns, 0, TOKENS, 0)
        with Runner(own, threads=1) as runner:
            request = {"messages": messages, "temperature": 0, "max_tokens": TOKENS}
            task = {**job(request, text, runner, fetch.SMOLLM2.sha256), "end": ended}

            # What the child holds of the last run is no part of a check.
            other: dict[str, Any] = {"prompt": "Hi", "answer": "!", "temperature": 0, "end": False}

            def check() -> float:
                runner.run(other)
                begun = time.perf_counter()
                runner.run(task)
                return (time.perf_counter() - begun) * 1e3

            def generate() -> float:
                begun = time.perf_counter()
                host.answer(turns, 0, TOKENS, 0)
                return (time.perf_counter() - begun) * 1e3

            samples = interleaved({"check": check, "generate": generate}, rounds)
    finally:
        host.close()
    return [
        figure(
            f"weights run again over an answer of {TOKENS} tokens",
            samples["check"],
            "ms",
            peer="generating it",
            beside=samples["generate"],
        )
    ]
