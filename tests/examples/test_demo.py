"""``make demo``: each run has a folder of its own, and an interrupt ends it in a few words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import demo  # noqa: E402


@pytest.mark.skipif(os.name != "posix", reason="POSIX locks")
def test_two_runs_at_once_share_no_folder(tmp_path: Path) -> None:
    first, lock = demo.own_folder(tmp_path / "build" / "demo")
    second, other = demo.own_folder(tmp_path / "build" / "demo")
    assert (first.name, second.name) == ("demo", "demo-2")
    lock.close()
    third, again = demo.own_folder(tmp_path / "build" / "demo")
    assert third == first
    other.close()
    again.close()


@pytest.mark.kernel
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_an_interrupted_run_ends_in_a_few_words(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("import time; time.sleep(300)")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    (tmp_path / "examples").mkdir()
    nbformat.write(notebook, tmp_path / "examples" / "long.ipynb")
    script = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import demo
demo.ROOT, demo.NOTEBOOKS = Path(sys.argv[2]), ("long.ipynb",)
raise SystemExit(demo.main())
"""
    command = [sys.executable, "-c", script, str(ROOT / "scripts"), str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "[ 1/1]" in line:
                break
        # As a terminal does: to everything that it runs in the foreground.
        os.killpg(process.pid, signal.SIGINT)
        said += process.stdout.readlines()
    assert process.returncode == 130, said
    assert len(said) <= 6 and said[-1].startswith("Interrupted"), said
