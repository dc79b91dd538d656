"""A real model for `make demo`, `make lab` and `make test`: its runtime into this environment, its
weights into .venvs/weights.  Both are fetched once, with pip, and only as they are pinned.

Where either cannot be had, this says so and ends well: a script answers then."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

from opg_magic.errors import OpgError
from opg_magic.weights import fetch

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venvs" / "weights"
RUNTIME = "xllamacpp"


def model() -> str:
    """What ``OPG_SIMNET_MODEL`` is to be: the weights that are here, or ``scripted``."""
    found = fetch.cached(fetch.SMOLLM2, FOLDER)
    return str(found) if found is not None and find_spec(RUNTIME) is not None else "scripted"


def into(home: Path) -> None:
    """Let a home (``OPG_HOME``) find the weights that are here, so that its kernels can run them
    again: linked, not copied, where both are on one disk."""
    found = fetch.cached(fetch.SMOLLM2, FOLDER)
    place = home / "weights" / fetch.SMOLLM2.file_name
    if found is None or place.exists():
        return
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.link(found, place)
    except OSError:
        shutil.copyfile(found, place)


def _runtime() -> bool:
    """Install what the extra ``local`` names, from wheels alone; whether it is here then."""
    if find_spec(RUNTIME) is not None:
        return True
    print("Installing a runtime for open models, once: 34 MB, 102 MB installed ...", flush=True)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = extras["optional-dependencies"]["local"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, "--only-binary", RUNTIME, *wanted], check=False)
    return done.returncode == 0


def main() -> int:
    one = fetch.SMOLLM2
    if model() != "scripted":
        return 0
    try:
        if not _runtime():
            raise OpgError(f"{RUNTIME} has no wheel for this machine, or could not be fetched.")
        fetch.get(one.name, folder=FOLDER)
    except OpgError as error:
        print(f"{error}\nNo real model, then: a script answers.  Try again: make demo", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
