"""What a verified call costs in time: a warm one over bare httpx, and the first one of a fresh
kernel, beside the SDK.

All against the same host of one simulated network, in turn.  The SDK's warm call is a call on an
open client, with whatever it does about paying; ours verifies, records and keeps a receipt, which
the SDK does not."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from figures import Figure, figure, interleaved
from workers import MODEL, PROMPT, Worker

ROOT = Path(__file__).resolve().parent.parent
OURS = ROOT / ".venv" / "bin" / "python"
SDK = ROOT / ".venvs" / "sdk" / "bin" / "python"


def sdk_environment(state: Mapping[str, Any]) -> dict[str, str]:
    """The SDK takes the payment chain's RPC from its environment."""
    return {**os.environ, "BASE_MAINNET_RPC": state["payment_rpc"]}


def warm(state: Mapping[str, Any], key: str, rounds: int = 15) -> list[Figure]:
    """Milliseconds of a warm call, ours and the official SDK's, and what each adds to bare
    httpx."""
    setup = {
        "tee_id": state["hosts"][0]["tee_id"],
        "registry_rpc": state["registry_rpc"],
        "prompt": PROMPT,
        "model": MODEL,
    }
    with (
        Worker(OURS, "client_raw.py", setup, os.environ) as raw,
        Worker(OURS, "client_opg.py", setup, os.environ) as ours,
        Worker(SDK, "client_sdk.py", {**setup, "key": key}, sdk_environment(state)) as sdk,
    ):
        clients = {"raw": raw, "ours": ours, "sdk": sdk}
        plain = interleaved(
            {n: lambda w=w: w.call(stream=False)["total_ms"] for n, w in clients.items()}, rounds
        )
        first = interleaved(
            {n: lambda w=w: w.call(stream=True)["first_ms"] for n, w in clients.items()}, rounds
        )
    figures = []
    for name, samples in (("plain answer", plain), ("first token of a stream", first)):
        # Pairs of one round, so that a slow moment of the machine or the host cancels out.
        added = [a - b for a, b in zip(samples["ours"], samples["raw"], strict=True)]
        added_sdk = [a - b for a, b in zip(samples["sdk"], samples["raw"], strict=True)]
        figures += [
            figure(f"warm call, {name}: bare httpx", samples["raw"], "ms"),
            figure(
                f"warm call, {name}: opg_magic",
                samples["ours"],
                "ms",
                peer="official SDK",
                beside=samples["sdk"],
            ),
            figure(
                f"warm call, {name}: added over httpx",
                added,
                "ms",
                peer="official SDK",
                beside=added_sdk,
            ),
        ]
    return figures


OUR_CELLS = ("%load_ext opg_magic", f"%%opg answer --no-stream --max-tokens 100\n{PROMPT}")
SDK_CELL = """
import opengradient as og
llm = og.LLM(private_key={key!r}, rpc_url={registry_rpc!r})
answer = await llm.chat(model={model!r}, messages=[{{"role": "user", "content": {prompt!r}}}],
                        x402_settlement_mode=og.x402SettlementMode.PRIVATE)
assert answer.chat_output["content"]
"""


def first_answer(state: Mapping[str, Any], key: str, rounds: int = 5) -> list[Figure]:
    """Milliseconds from starting a kernel to the end of the first answered cell; the network is up
    already."""
    sdk_cell = SDK_CELL.format(
        key=key, registry_rpc=state["registry_rpc"], model=MODEL, prompt=PROMPT
    )
    candidates = {
        "ours": lambda: _kernel(OURS, OUR_CELLS, os.environ),
        "sdk": lambda: _kernel(SDK, (sdk_cell,), sdk_environment(state)),
        "bare": lambda: _kernel(OURS, ("pass",), os.environ),
    }
    for once in candidates.values():
        once()  # warms the disk
    samples = interleaved(candidates, rounds)
    return [
        figure("fresh kernel to first cell, empty", samples["bare"], "ms"),
        figure(
            "fresh kernel to first answer",
            samples["ours"],
            "ms",
            peer="official SDK",
            beside=samples["sdk"],
        ),
    ]


def _kernel(python: Path, cells: tuple[str, ...], env: Mapping[str, str]) -> float:
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager

    manager = KernelManager()
    manager._kernel_spec = KernelSpec(
        argv=[str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=40"],
        display_name="bench",
        language="python",
    )
    began = time.perf_counter()
    manager.start_kernel(env=dict(env))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        for cell in cells:
            reply = client.execute_interactive(cell, timeout=60, output_hook=lambda message: None)
            if reply["content"]["status"] != "ok":
                raise RuntimeError(
                    f"{reply['content'].get('ename')}: {reply['content'].get('evalue')}"
                )
        return (time.perf_counter() - began) * 1000
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
