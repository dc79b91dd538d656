"""The official SDK's private route, unmodified, against the simulated relay; and its primitives as
the recipient of what we seal."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from support.simnet import RunningSimnet

from opg_magic.protocol import ohttp

HERE = Path(__file__).parent

pytestmark = pytest.mark.sdk


def run(python: Path, script: str, given: dict[str, Any], home: Path) -> Any:
    done = subprocess.run(
        [python, HERE / script],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
    )
    if done.returncode != 0:
        return done.stderr[-3000:]
    return json.loads(done.stdout)


def given(simnet: RunningSimnet, **changes: str) -> dict[str, Any]:
    return {
        "relay": simnet.net.relay.url,
        "registry_rpc": simnet.network.registry_rpcs[0],
        "registry": simnet.network.registry_address,
        "token": simnet.net.relay.own.token.reveal(),
        "question": "Is 97 prime?",
        **changes,
    }


def test_the_official_sdk_asks_through_the_relay_plain_and_streamed(
    honest_simnet: RunningSimnet, sdk_python: Path
) -> None:
    before = [host.unsealing.tab.charged for host in honest_simnet.hosts]
    said = run(sdk_python, "ask_privately_with_sdk.py", given(honest_simnet), honest_simnet.home)
    assert isinstance(said, dict), said
    answer = "Yes. 97 is prime: no number from 2 to 9 divides it."
    assert said["plain"] == said["streamed"] == answer
    assert said["below"] == [answer, answer]
    assert said["frames"] > 5
    assert all('"weather"' in call for call in said["called"])
    # It verified each answer's signature itself, by the key of the host that it sealed to.
    (tee_id,) = {name.removeprefix("0x") for name in [said["host"], *said["tee_ids"]]}
    assert f"0x{tee_id}" in {host.tee_id for host in honest_simnet.hosts}
    after = [each.unsealing.tab.charged for each in honest_simnet.hosts]
    assert sum(after) > sum(before)
    assert honest_simnet.settle_now() == []  # no payment of the caller's was ever made


def test_the_official_sdk_is_told_by_the_relay_that_it_is_not_signed_in(
    honest_simnet: RunningSimnet, sdk_python: Path
) -> None:
    said = run(
        sdk_python,
        "ask_privately_with_sdk.py",
        given(honest_simnet, token="another"),
        honest_simnet.home,
    )
    assert "relay error 401: Not signed in" in said


def test_the_sdk_opens_what_we_seal_and_we_open_what_it_seals(
    sdk_python: Path, tmp_path: Path
) -> None:
    private = X25519PrivateKey.generate()
    key = ohttp.SealingKey(9, private.public_key().public_bytes_raw())
    request = ohttp.seal_request(key, b'{"model": "gpt-5"}')
    asked = {
        "wire": request.wire.hex(),
        "private_key": private.private_bytes_raw().hex(),
        "answer": "data: one\n\ndata: two\n\n",
    }
    said = run(sdk_python, "unseal_with_sdk.py", asked, tmp_path)
    assert isinstance(said, dict), said
    assert said["asked"] == '{"model": "gpt-5"}'
    for form, opener in (
        ("single", ohttp.SingleOpener(request)),
        ("chunked", ohttp.ChunkedOpener(request)),
    ):
        opened = opener.feed(bytes.fromhex(said[form])) + opener.finish()
        assert b"".join(opened).decode() == asked["answer"]


def test_the_official_sdk_signs_in_at_the_simulated_page_and_asks_with_it(
    honest_simnet: RunningSimnet, sdk_python: Path
) -> None:
    said = run(sdk_python, "login_with_sdk.py", given(honest_simnet), honest_simnet.home)
    assert isinstance(said, dict), said
    assert said["relay"] == honest_simnet.net.relay.url
    assert (said["email"], said["expired"]) == ("reader@sim.example", False)
    assert said["answer"] == "Yes. 97 is prime: no number from 2 to 9 divides it."
