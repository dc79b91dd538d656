"""What the private route costs in time: beside our own direct route, and beside the official SDK's
``ConfidentialLLM``.

All against the same host of one simulated network, in turn.  Sealing and opening are real; the
simulated relay is on this machine, so that its way is not part of the figures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from call_time import OURS, SDK
from figures import Figure, figure, interleaved
from workers import MODEL, PROMPT, Worker


def measure(state: Mapping[str, Any], rounds: int = 15) -> list[Figure]:
    """Milliseconds of a warm call on the private route: its first text, and the whole answer."""
    from opg_magic.network.profiles import REGISTRY_ADDRESS

    setup = {
        "tee_id": state["hosts"][0]["tee_id"],
        "registry_rpc": state["registry_rpc"],
        "registry": REGISTRY_ADDRESS,
        "relay": state["relay"],
        "prompt": PROMPT,
        "model": MODEL,
    }
    secret = {**setup, "token": state["relay_token"]}
    with (
        Worker(OURS, "client_opg.py", {**setup, "route": "direct"}, os.environ) as direct,
        Worker(OURS, "client_opg.py", {**setup, "route": "private"}, os.environ) as private,
        Worker(SDK, "client_sdk_private.py", secret, os.environ) as sdk,
    ):
        clients = {"direct": direct, "private": private, "sdk": sdk}
        whole = interleaved(
            {n: lambda w=w: w.call(stream=False)["total_ms"] for n, w in clients.items()}, rounds
        )
        # First text and end of the same calls.
        streams = interleaved(
            {n: lambda w=w: w.call(stream=True) for n, w in clients.items()}, rounds
        )
    first = {n: [one["first_ms"] for one in found] for n, found in streams.items()}
    last = {n: [one["total_ms"] for one in found] for n, found in streams.items()}
    return [
        _beside("first text of a stream", first, "direct"),
        _beside("first text of a stream", first, "sdk"),
        _beside("plain answer", whole, "direct"),
        _beside("plain answer", whole, "sdk"),
        _beside("whole stream", last, "direct"),
        _beside("whole stream", last, "sdk"),
    ]


_PEERS = {"direct": "our direct route", "sdk": "official SDK's ConfidentialLLM"}


def _beside(name: str, samples: Mapping[str, list[float]], peer: str) -> Figure:
    title = f"private call, {name}" + (" (SDK)" if peer == "sdk" else "")
    return figure(title, samples["private"], "ms", peer=_PEERS[peer], beside=samples[peer])
