"""Where the official SDK is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

VERSION = "1.1.4"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sdk_python() -> Path:
    """The interpreter of the SDK's own environment, with exactly the release that we mean."""
    folder = Path(os.environ.get("OPG_SDK_VENV") or ROOT / ".venvs" / "sdk")
    python = folder / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no official SDK: `make test` makes {folder}; or set OPG_SDK_VENV")
    show = "import importlib.metadata as m; print(m.version('opengradient'))"
    found = subprocess.run([python, "-c", show], capture_output=True, text=True, check=False)
    if found.stdout.strip() != VERSION:
        pytest.skip(
            f"{folder} holds opengradient {found.stdout.strip() or 'nothing'}, wanted is {VERSION}"
        )
    return python
