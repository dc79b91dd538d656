"""``%opg login`` in a real kernel: the sign-in is pasted at a hidden prompt, and shown nowhere."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from opg_magic.network import simnet_client

pytestmark = [pytest.mark.kernel, pytest.mark.simnet]


def grant(relay: str) -> str:
    asked = urllib.request.Request(
        f"{relay}/cli-auth/grant", data=b"", headers={"Origin": relay}, method="POST"
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("damage", ["", "x"])
def test_a_sign_in_is_pasted_at_a_hidden_prompt(kernel_home: Path, damage: str) -> None:
    state = simnet_client.read_state()
    assert state is not None
    bundle = grant(state["relay"])
    token = json.loads(bundle)["access_token"]
    env = {
        **{k: v for k, v in os.environ.items() if k != "OPG_KEYSTORE_PASSWORD"},
        "OPG_HOME": str(kernel_home),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    manager, client = start_new_kernel(kernel_name="python3", env=env)
    prompts: list[dict[str, Any]] = []
    messages: list[Any] = []

    def paste(message: dict[str, Any]) -> None:
        prompts.append(message["content"])
        client.input(bundle + damage)

    def run(code: str) -> Any:
        return client.execute_interactive(
            code, allow_stdin=True, stdin_hook=paste, output_hook=messages.append, timeout=120
        )["content"]

    try:
        assert run("%load_ext opg_magic\n%opg use sim\n%xmode Verbose")["status"] == "ok"
        login = run("%opg login --no-browser")
        assert login["status"] == ("error" if damage else "ok"), login
        assert [prompt["password"] for prompt in prompts] == [True]
        run("%opg whoami")
        asked = run("%%opg answer --route private\nIs 97 prime?")
        assert asked["status"] == "ok", asked
        run("%history")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    shown = json.dumps([login, asked, *messages], default=str)
    assert ("Signed in as reader@sim.example" in shown) is not bool(damage)
    assert ("in this process only" in shown) is not bool(damage)
    assert ("The sign-in was refused" in shown) is bool(damage)
    assert token not in shown
    written = [file for file in kernel_home.rglob("*") if file.is_file()]
    assert [file for file in written if token.encode() in file.read_bytes()] == []
