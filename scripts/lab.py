"""``make lab``: JupyterLab on copies of the examples in build/lab/, so that the originals stay
without outputs.

Receipts, settings and the simulated network of these notebooks live in build/lab/home, unless
OPG_HOME says otherwise."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import weights

ROOT = Path(__file__).resolve().parent.parent
LAB = ROOT / "build" / "lab"


def main() -> None:
    LAB.mkdir(parents=True, exist_ok=True)
    for source in sorted((ROOT / "examples").iterdir()):
        target = LAB / source.name
        if target.exists():
            print(f"kept as it is: {target.relative_to(ROOT)} (remove it to begin afresh)")
        else:
            shutil.copyfile(source, target)
    os.environ.setdefault("OPG_HOME", str(LAB / "home"))
    os.environ.setdefault("OPG_SIMNET_MODEL", weights.model())
    if os.environ["OPG_HOME"] == str(LAB / "home"):  # never into a home of the user's own
        weights.into(LAB / "home")
    # `!opg` in a cell means the command beside this Python.
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    )
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={LAB}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    command.append(str(LAB / "quickstart.ipynb"))
    os.execv(sys.executable, command + sys.argv[1:])


if __name__ == "__main__":
    main()
