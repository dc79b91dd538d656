"""The OPG_ variables count as they were when the process started; a notebook can only tighten by
them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from opg_magic.settings import environment
from opg_magic.settings.config import Settings

LINUX = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="the system does not tell how a process began"
)

#: What a notebook's first cells do: a shell (a kernel has one), what they write, the extension,
#: what is in force.
CELLS = """
import os, json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell({before!r})
shell.run_line_magic("load_ext", "opg_magic")
shell.run_cell({after!r})
from opg_magic.network import simnet_client
from opg_magic.settings import environment, paths
from opg_magic.settings.config import Settings
from opg_magic.wallet import keys
settings = Settings()
key = environment.secret("OPG_PRIVATE_KEY")
print(json.dumps({{
    "day": settings.get("max_cost_per_day"), "policy": settings.get("policy"),
    "rpcs": settings.get("registry_rpcs"), "claims": settings.get("required_claims"),
    "origin": settings.origin("policy"), "ignored": settings.ignored(), "home": str(paths.home()),
    "passed_on": simnet_client.clean_environment(), "key": key.reveal() if key else None,
    "password": environment.password().reveal() if environment.password() else None,
}}))
"""


def _in_a_notebook(
    tmp_path: Path,
    started: dict[str, str],
    *,
    before: str = "",
    after: str = "",
    cwd: Path | None = None,
):
    given = {k: v for k, v in os.environ.items() if not k.startswith("OPG_")}
    done = subprocess.run(
        [sys.executable, "-c", CELLS.format(before=before, after=after)],
        env=given
        | {"OPG_HOME": str(tmp_path / "home"), "IPYTHONDIR": str(tmp_path / "ipython")}
        | started,
        cwd=cwd or tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


LOOSEN = """
%env OPG_MAX_COST_PER_DAY=1000
%env OPG_REGISTRY_RPCS=https://evil.example
%env OPG_HOME=/tmp/elsewhere-of-a-notebook
%env OPG_PRIVATE_KEY=0x5555
%env OPG_SIMNET_UPSTREAM=https://evil.example
%env OPG_KEYSTORE_PASSWORD=typed
"""


@LINUX
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_notebook_writes_into_the_environment_loosens_nothing(tmp_path: Path, when: str):
    found = _in_a_notebook(
        tmp_path, {"OPG_MAX_COST_PER_DAY": "2", "OPG_PRIVATE_KEY": "0xaaaa"}, **{when: LOOSEN}
    )
    assert found["day"] == 2 * 10**18
    assert found["rpcs"] == []
    assert found["home"] == found["passed_on"]["OPG_HOME"] == str(tmp_path / "home")
    assert found["key"] == "0xaaaa"
    assert "OPG_SIMNET_UPSTREAM" not in found["passed_on"]
    assert (
        found["password"] == "typed"
    )  # it opens nothing but what is the user's, for whoever knows it
    said = " ".join(found["ignored"])
    for name in ("OPG_MAX_COST_PER_DAY", "OPG_REGISTRY_RPCS", "OPG_HOME", "OPG_PRIVATE_KEY"):
        assert f"{name} was changed after this process started" in said
    assert "0x5555" not in said and "PASSWORD" not in said


@LINUX
def test_a_notebook_may_tighten_and_relative_homes_stay_where_they_were(tmp_path: Path):
    work = tmp_path / "work"
    (work / "below").mkdir(parents=True)
    found = _in_a_notebook(
        tmp_path,
        {"OPG_HOME": "mine", "OPG_POLICY": "strict", "OPG_REQUIRED_CLAIMS": "payment"},
        before="%env OPG_POLICY=default\n%env OPG_MAX_COST_PER_DAY=0.5\n%env "
        "OPG_REQUIRED_CLAIMS=agreement",
        after="import os; os.chdir('below')",
        cwd=work,
    )
    assert (found["policy"], found["day"]) == ("strict", 5 * 10**17)
    assert set(found["claims"]) == {"payment", "agreement"}
    assert found["home"] == found["passed_on"]["OPG_HOME"] == str(work / "mine")
    assert found["ignored"] == [
        "OPG_POLICY was changed after this process started: ignored, unless it tightens a setting"
    ]


def test_in_a_program_the_environment_counts_from_the_first_import(tmp_path: Path):
    code = (
        "import os; os.environ['OPG_HOME'] = 'here'; import opg_magic; os.environ['OPG_HOME'] = "
        "'there'\n"
        "os.makedirs('below'); os.chdir('below')\n"
        "from opg_magic.settings import paths; print(paths.home())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == str(tmp_path / "here")


def test_a_process_that_wrote_over_its_own_start_is_not_believed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(environment, "_in_ipython", lambda: True)
    for raw in (b"", b"\0" * 64, b"opg: a title of its own\0\0", b"x=1\0"):
        (tmp_path / "environ").write_bytes(raw)
        monkeypatch.setattr(environment, "_AS_STARTED", tmp_path / "environ")
        assert environment._as_started() is os.environ
    monkeypatch.setattr(environment, "_AS_STARTED", tmp_path / "none")
    assert environment._as_started() is os.environ
    (tmp_path / "environ").write_bytes(b"PATH=/bin\0OPG_HOME=/\xff\0OPG_POLICY=strict")
    monkeypatch.setattr(environment, "_AS_STARTED", tmp_path / "environ")
    assert environment._as_started() == {
        "PATH": "/bin",
        "OPG_HOME": "/\udcff",
        "OPG_POLICY": "strict",
    }


def test_a_servers_kernels_have_its_home_in_whatever_folder_they_work(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, "_start", environment.Start({"OPG_HOME": "mine"}))
    monkeypatch.setenv("OPG_HOME", "mine")
    monkeypatch.delenv("OPG_SIMNET_MODEL", raising=False)
    assert environment.changed() == []
    monkeypatch.chdir("notebooks")
    environment.pass_on()
    assert os.environ["OPG_HOME"] == str(tmp_path / "mine")
    assert environment.changed() == []


def test_what_is_held_shows_no_value():
    held = environment.Start({"OPG_PRIVATE_KEY": "0x5555", "OTHER": "0x6666", "OPG_EMPTY": ""})
    assert held.get("OPG_PRIVATE_KEY") == "0x5555"
    assert held.get("OTHER") is None and held.get("OPG_EMPTY") is None
    assert "0x5555" not in repr(vars(held))
    held.forget("OPG_PRIVATE_KEY")
    assert held.get("OPG_PRIVATE_KEY") is None


def test_settings_of_a_mapping_look_there_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("OPG_POLICY", "audit")
    settings = Settings(
        environ={"OPG_POLICY": "strict"}, user_file=tmp_path / "config.toml", project_dir=tmp_path
    )
    assert settings.get("policy") == "strict"
    assert settings.ignored() == []
