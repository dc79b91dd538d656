"""``%%ai`` of jupyter-ai, unmodified, in an environment of its own, asks through the endpoint."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.serving import TOKEN, Served
from support.simnet import RunningSimnet

SCRIPT = Path(__file__).parent / "ask_with_jupyter_ai.py"
ROOT = Path(__file__).resolve().parents[2]
ANSWER = "Yes. 97 is prime: no number from 2 to 9 divides it."

pytestmark = pytest.mark.slow


class Cells:
    """Runs cells in one process of jupyter-ai's."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, prompt: str) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(prompt, file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise AssertionError("jupyter-ai has ended")


@pytest.fixture
def cells(served: Served, tmp_path: Path) -> Iterator[Cells]:
    python = ROOT / ".venvs" / "jupyter-ai" / "bin" / "python"
    if not python.exists():
        pytest.skip("no jupyter-ai: `make test` makes .venvs/jupyter-ai")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OPG_")},
        "OPENAI_BASE_URL": served.url,
        "OPENAI_API_KEY": TOKEN,
        "IPYTHONDIR": str(tmp_path / "ipython"),
        # It would look for prices on the internet.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    with subprocess.Popen(
        [python, SCRIPT],
        env=environ, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield Cells(process)
        process.terminate()


def test_a_cell_of_jupyter_ai_is_answered_and_a_lie_is_not_shown(
    served: Served, honest_simnet: RunningSimnet, cells: Cells
) -> None:
    asked = cells.run("Is 97 prime?")
    assert (asked["text"], asked["error"]) == (ANSWER, None)
    receipt = served.receipt()
    assert receipt.text == ANSWER and receipt.label == "SIMULATED"

    honest_simnet.cheat_everywhere("change-byte")
    lied = cells.run("Is 91 prime?")
    assert lied["text"] is None
    withheld = served.receipts()[-1]
    assert withheld.withheld and withheld.text not in json.dumps(lied)
    # It was asked once, and the user is told where to look.
    assert len(served.receipts()) == 2
    assert withheld.id in f"{lied['error']}{lied['said']}"
