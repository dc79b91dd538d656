"""Ctrl-C while a command starts, works or ends: no word, exit code 130.

The signal comes at the import of a chosen module, not after a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from opg_magic.settings import interrupt
from opg_magic.shell import main as shell
from opg_magic.simnet.process import command as simnet

OPG = [str(Path(sys.executable).parent / "opg")]
MODULE = [sys.executable, "-m", "opg_magic.shell.main"]
SIMNET = [sys.executable, "-m", "opg_magic.simnet"]

#: Stands on the path as ``sitecustomize``: Ctrl-C as soon as the module is looked for.
HOOK = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"]:
            sys.meta_path.remove(self)
            print("interrupted", file=sys.__stdout__, flush=True)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
"""


def run(words: list[str], at: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(HOOK)
    environ = {**os.environ, "PYTHONPATH": str(folder), "AT": at, "OPG_HOME": str(folder / "home")}
    return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ([*OPG, "--version"], "typing"),
        ([*OPG, "--version"], "opg_magic.models.answers"),
        ([*OPG, "--version"], "opg_magic.shell.main"),
        ([*OPG, "--version"], "opg_magic.shell.wallet"),
        ([*OPG, "config"], "opg_magic.call.kernel"),
        ([*MODULE, "--version"], "opg_magic.table"),
        ([*MODULE, "--version"], "opg_magic.shell.wallet"),
        ([*SIMNET, "status"], "opg_magic.settings.environment"),
        ([*SIMNET, "status"], "opg_magic.simnet.process.command"),
    ],
)
def test_a_command_that_is_stopped_while_it_imports_says_nothing(
    words: list[str], at: str, tmp_path: Path
) -> None:
    done = run(words, at, tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 130)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("import opg_magic", "KeyboardInterrupt"),
        ("from opg_magic import shell", "KeyboardInterrupt"),
        ("from opg_magic.shell.main import main", ""),
    ],
)
def test_a_program_that_imports_the_package_keeps_its_own_interrupt(
    code: str, outcome: str, tmp_path: Path
) -> None:
    done = run([sys.executable, "-c", code], "opg_magic.settings.environment", tmp_path)
    assert done.stdout == "interrupted\n"
    assert done.stderr.strip().endswith(outcome) and bool(done.stderr) == bool(outcome)


def test_a_command_that_ignores_interrupts_goes_on(tmp_path: Path) -> None:
    words = ["sh", "-c", f"trap '' INT; exec {OPG[0]} --version"]
    done = run(words, "opg_magic.shell.main", tmp_path)
    assert done.stdout.startswith("interrupted\nopg_magic ")
    assert (done.stderr, done.returncode) == ("", 0)


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def half_imported() -> None:
    raise NameError("name 'coroutines' is not defined")


@pytest.mark.parametrize("closes", [None, stop, half_imported])
def test_a_command_that_is_stopped_while_it_works_or_closes_says_nothing(
    closes: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from opg_magic.call import session

    monkeypatch.setattr("opg_magic.shell.settings.session", stop)
    if closes is not None:
        monkeypatch.setattr(session, "close_current_session", closes)
    assert shell.main(["config"]) == interrupt.INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_a_command_of_the_simulated_network_that_is_stopped_says_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simnet.simnet_client, "read_state", stop)
    assert simnet.main(["status"]) == interrupt.INTERRUPTED
    assert capsys.readouterr() == ("", "")
