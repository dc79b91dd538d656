"""The official SDK, unmodified, as a peer: what it can talk to and pays for is faithful enough.

It lives in an environment of its own (``.venvs/sdk`` beside this project, or ``OPG_SDK_VENV``): it
brings its own x402. ``make test`` makes that environment."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.simnet import RunningSimnet

SCRIPT = Path(__file__).with_name("ask_with_sdk.py")

pytestmark = pytest.mark.sdk


def ask(python: Path, simnet: RunningSimnet, **changes: str) -> subprocess.CompletedProcess[str]:
    network = simnet.network
    given = {
        "registry_rpc": network.registry_rpcs[0],
        "registry": network.registry_address,
        "private_key": "0x" + simnet.wallet_key.reveal().hex(),
        "question": "Is 97 prime?",
        **changes,
    }
    return subprocess.run(
        [python, SCRIPT],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        # The SDK's own setting for the payment chain.
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(simnet.home),
            "BASE_MAINNET_RPC": network.payment_rpcs[0],
        },
    )


def test_the_official_sdk_calls_streams_and_is_charged(
    honest_simnet: RunningSimnet, sdk_python: Path
) -> None:
    simnet = honest_simnet
    simnet.settle_now()
    before = {
        address: simnet.balance(address)
        for address in (simnet.payer, *(h.owner for h in simnet.hosts))
    }
    done = ask(sdk_python, simnet)
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout)

    answer = "Yes. 97 is prime: no number from 2 to 9 divides it."
    assert said["plain"] == said["streamed"] == answer
    assert said["pieces"] > 5
    assert said["is_final"]
    assert said["plain_signature"] and said["stream_signature"]

    # It took its host from the registry, with the certificate that is listed there: it trusts no
    # other.
    (host,) = [h for h in simnet.hosts if h.endpoint == said["endpoint"]]
    assert host.tee_id.removeprefix("0x") == said["tee_id"].removeprefix("0x")

    # Both calls were made in one session, and are charged in one transaction, by usage and price.
    transactions = simnet.settle_now()
    assert len(transactions) == 1
    prompt, completion = said["usage"]["prompt_tokens"], said["usage"]["completion_tokens"]
    assert said["stream_usage"] == [prompt, completion]
    cost = 2 * (prompt * 125 + completion * 1000) * 10**11
    assert simnet.balance(simnet.payer) == before[simnet.payer] - cost
    assert simnet.balance(host.payment_address) == before[host.owner] + cost


def test_the_official_sdk_refuses_a_certificate_that_is_not_registered(
    honest_simnet: RunningSimnet, sdk_python: Path
) -> None:
    """Its pinning works against our hosts: so the call above really went through the registered
    certificate."""
    for host in honest_simnet.hosts:
        honest_simnet.cheat(host.name, "wrong-certificate")
    done = ask(sdk_python, honest_simnet)
    assert done.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
    assert honest_simnet.settle_now() == []
