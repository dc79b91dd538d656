"""How long a fresh IPython takes to load the extension, beside the same IPython bare, and beside
other magics.

Each extension is measured in its own environment against the bare IPython of that environment, all
interleaved."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from figures import Figure, figure, interleaved

ROOT = Path(__file__).resolve().parent.parent

#: package → (environment, extension that %load_ext names)
EXTENSIONS = {
    "opg_magic": (".venv", "opg_magic"),
    "jupysql": (".venvs/bench-jupysql", "sql"),
    "bigquery-magics": (".venvs/bench-bigquery-magics", "bigquery_magics"),
    "jupyter-ai-magics": (".venvs/bench-jupyter-ai-magics", "jupyter_ai_magics"),
}


def measure(rounds: int = 11) -> list[Figure]:
    """Milliseconds from starting the process to its end; the ratio is to bare IPython."""
    with tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, "IPYTHONDIR": f"{scratch}/ipython", "OPG_HOME": f"{scratch}/home"}
        candidates = {}
        for package, (venv, extension) in EXTENSIONS.items():
            python = ROOT / venv / "bin" / "python"
            check = f"assert {extension!r} in get_ipython().extension_manager.loaded"
            _ipython(
                python, f"%load_ext {extension}\n{check}", env
            )  # warms the disk, and proves that it loads
            candidates[f"{package} bare"] = lambda p=python: _ipython(p, "pass", env)
            candidates[f"{package} load"] = lambda p=python, e=extension: _ipython(
                p, f"%load_ext {e}", env
            )
        samples = interleaved(candidates, rounds)
    return [
        figure(
            f"load {package}",
            samples[f"{package} load"],
            "ms",
            peer="bare IPython, same environment",
            beside=samples[f"{package} bare"],
        )
        for package in EXTENSIONS
    ]


def _ipython(python: Path, code: str, env: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [str(python), "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", code],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    took = (time.perf_counter() - began) * 1000
    if done.returncode != 0:
        raise RuntimeError(
            f"{python} could not run {code!r}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return took
