"""From ``opg login`` to an answer and ``opg logout``, as processes: the token is seen nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.simnet import ProcessSimnet

PRESS = Path(__file__).parent / "press_sign_in.py"

pytestmark = pytest.mark.simnet


def test_the_token_of_a_sign_in_is_seen_nowhere(
    simnet_process: ProcessSimnet, tmp_path: Path
) -> None:
    simnet_process.up()
    notes = tmp_path / "notes.json"
    env = {
        **{name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"},
        "BROWSER": f"{sys.executable} {PRESS} {notes} %s",
        "OPG_KEYSTORE_PASSWORD": "correct horse battery staple",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    said = []

    def opg(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "opg_magic.shell.main", *words],
            env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        said.append(done.stdout + done.stderr)
        return done

    done = opg("login", "--network", "sim")
    assert done.returncode == 0, said
    assert "Signed in as reader@sim.example" in done.stdout
    assert "encrypted with OPG_KEYSTORE_PASSWORD" in done.stdout
    assert opg("whoami", "--network", "sim").returncode == 0
    done = opg("ask", "--network", "sim", "--route", "private", "Is 97 prime?")
    assert done.returncode == 0, said
    assert "97 is prime" in done.stdout
    kept = simnet_process.home / "sign-in-sim.json"
    assert kept.exists()

    # The browser notes them after the listener has its sign-in, so it may still be at it.
    for _ in range(100):
        if notes.exists() and notes.read_text():
            break
        time.sleep(0.1)
    noted = json.loads(notes.read_text())
    token = noted["token"].encode()
    assert len(token) > 30
    assert noted["processes"]
    assert not any(token.decode() in line for line in noted["processes"])
    assert not any(token.decode() in text for text in said)
    written = [file for file in simnet_process.home.rglob("*") if file.is_file()]
    assert any(file.name == "ledger.sqlite" for file in written)
    assert [file for file in written if token in file.read_bytes()] == []

    assert opg("logout", "--network", "sim").returncode == 0
    assert not kept.exists()
    assert opg("whoami", "--network", "sim").returncode == 1
