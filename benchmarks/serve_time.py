"""What ``opg serve`` adds to a call: the plain ``openai`` client through it, beside our own ``ask``
and beside the official SDK, all of the same host."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from call_time import OURS, SDK, sdk_environment
from figures import Figure, figure, interleaved
from workers import MODEL, PROMPT, Worker


def measure(state: Mapping[str, Any], key: str, rounds: int = 15) -> list[Figure]:
    """Milliseconds of a warm call."""
    setup = {
        "tee_id": state["hosts"][0]["tee_id"],
        "registry_rpc": state["registry_rpc"],
        "prompt": PROMPT,
        "model": MODEL,
        "route": "direct",
    }
    with (
        Worker(OURS, "client_serve.py", setup, os.environ) as served,
        Worker(OURS, "client_opg.py", setup, os.environ) as ours,
        Worker(SDK, "client_sdk.py", {**setup, "key": key}, sdk_environment(state)) as sdk,
    ):
        clients = {"served": served, "ours": ours, "sdk": sdk}
        plain = interleaved(
            {n: lambda w=w: w.call(stream=False)["total_ms"] for n, w in clients.items()}, rounds
        )
        streamed = [{n: w.call(stream=True) for n, w in clients.items()} for _ in range(rounds)]
    figures = []
    for name, samples in (
        ("plain answer", plain),
        *(
            (label, {n: [one[n][key_] for one in streamed] for n in clients})
            for label, key_ in (
                ("first token of a stream", "first_ms"),
                ("end of a stream", "total_ms"),
            )
        ),
    ):
        title = f"warm call, {name}: openai through opg serve"
        for peer, who in (("ours", "opg_magic's ask"), ("sdk", "official SDK")):
            figures.append(figure(title, samples["served"], "ms", peer=who, beside=samples[peer]))
    return figures
