"""``%load_ext opg_magic`` must cost next to nothing: what is heavy comes with the first call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = (
    "pandas",
    "pyarrow",
    "web3",
    "eth_account",
    "httpx",
    "httpcore",
    "ipywidgets",
    "cryptography",
    "cbor2",
    "pyhpke",
    "Crypto",
    "nbformat",
    "jsonschema",
    "pydantic",
)

SCRIPT = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "opg_magic")
assert shell.find_cell_magic("opg") and shell.find_line_magic("opg")
print(json.dumps(sorted(sys.modules)))
"""


def in_fresh_process(tmp_path: Path, script: str) -> set[str]:
    """The names that ``script`` prints as JSON on its last line."""
    env = {
        **os.environ,
        "OPG_HOME": str(tmp_path / "home"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_load_ext_brings_in_no_heavy_module(tmp_path: Path) -> None:
    loaded = in_fresh_process(tmp_path, SCRIPT)
    assert "opg_magic.notebook.magic" in loaded
    assert {name for name in loaded if name.split(".")[0] in HEAVY} == set()


def test_load_ext_touches_no_file_of_the_user(tmp_path: Path) -> None:
    in_fresh_process(tmp_path, SCRIPT)
    assert not (tmp_path / "home").exists() or list((tmp_path / "home").iterdir()) == []


def test_the_heavy_modules_are_there_to_be_kept_out(tmp_path: Path) -> None:
    """Guards the test above: each name is one that this environment can import."""
    script = (
        "import importlib.util as u, json; "
        f"print(json.dumps([n for n in {HEAVY!r} if u.find_spec(n)]))"
    )
    assert in_fresh_process(tmp_path, script) == set(HEAVY)
