"""`opg verify` reads without writing, wherever it runs, and its own failures are none of the
file's."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from support import signing
from support.signed_receipts import jsonl, signed, verify

from opg_magic.errors import ConfigError, InstallationError, NetworkUnavailable
from opg_magic.network import simnet_client
from opg_magic.network.profiles import OPENGRADIENT
from opg_magic.settings import paths
from opg_magic.shell.main import main

#: A user without HOME and without an entry in the list of users, as containers run programs.
NOBODY = 64_123


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return jsonl(folder, signed(network=OPENGRADIENT, trust=signing.as_aws()))


def verifying(file: Path, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """`opg verify` in a process of its own, without HOME; ``before``: what it does first."""
    code = (
        f"import os, sys\nfrom opg_magic.shell.main import main\n{before}"
        "sys.exit(main(['verify', sys.argv[1], '--json']))\n"
    )
    own = {
        k: v for k, v in os.environ.items() if not k.startswith(("OPG_", "XDG_")) and k != "HOME"
    }
    return subprocess.run(
        [sys.executable, "-c", code, str(file)],
        env=own | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
        cwd=file.parent,
        capture_output=True,
        text=True,
    )


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("where", ["missing", "read-only", "under a file"])
def test_no_home_is_made_or_written(where: str, file: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    if where == "read-only":
        home.mkdir()
        home.chmod(stat.S_IRUSR | stat.S_IXUSR)
    elif where == "under a file":
        (tmp_path / "plain").write_text("")
        home = tmp_path / "plain" / "home"
    before = everything_in(tmp_path)
    for environment in ({"OPG_HOME": str(home)}, {"HOME": str(home)}):
        done = verifying(file, **environment)
        assert done.returncode == 1, done.stderr
        assert json.loads(done.stdout)["verdict"] == "FAILED"
    assert everything_in(tmp_path) == before


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to become somebody else"
)
def test_a_user_whom_the_system_does_not_know_verifies(file: Path) -> None:
    # What is needed is imported first: somebody else need not be able to read this installation.
    become = f"""
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()):
    main(['verify', sys.argv[1]])
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
"""
    with tempfile.TemporaryDirectory() as folder:
        readable = Path(folder)
        readable.chmod(0o777)  # it could write here, and does not
        copy = readable / file.name
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o644)
        done = verifying(copy, become)
        assert (done.returncode, done.stderr) == (1, "")
        assert json.loads(done.stdout)["receipts"][0]["claims"]["signature"]["status"] == "passed"
        assert everything_in(readable) == [file.name]


@pytest.mark.parametrize("says_so", [False, True])
def test_without_any_home_reading_works_and_writing_says_why(
    says_so: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import platformdirs

    monkeypatch.delenv("OPG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    for kind in ("user_data_dir", "user_config_dir"):
        # Older versions leave the tilde as it is, newer ones raise.
        none = (
            failing(RuntimeError("no home")) if says_so else lambda *_, **__: "~/.local/opg_magic"
        )
        monkeypatch.setattr(platformdirs, kind, none)
    from opg_magic.settings.config import Settings
    from opg_magic.settings.files import write_user

    assert simnet_client.own_roots() == frozenset() and simnet_client.read_state() is None
    assert paths.existing("ledger.sqlite") is None
    assert Settings().get("policy") == "default"
    for write in (paths.home, lambda: write_user("policy", "strict")):
        with pytest.raises(ConfigError, match="No home folder is known"):
            write()
    assert not list(tmp_path.iterdir())


def test_a_working_folder_that_is_gone_is_no_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from opg_magic.settings.config import Settings

    monkeypatch.setattr(Path, "cwd", lambda: (_ for _ in ()).throw(FileNotFoundError()))
    assert Settings().get("policy") == "default"
    monkeypatch.setattr(Path, "is_file", lambda _: (_ for _ in ()).throw(PermissionError()))
    assert Settings(project_dir=tmp_path).get("policy") == "default"


def failing(error: BaseException) -> Any:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    return broken


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("a bug"),
        ImportError("no such library"),
        OSError(errno.ENOSPC, "No space left on device"),
        RecursionError("too deep"),
        MemoryError(),
        InstallationError("cbor2 does not work"),
        NetworkUnavailable("down"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_of_its_own_is_4_and_never_the_1_of_a_check(
    error: Exception,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    from opg_magic.audit import judgement

    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(judgement, "judge", failing(error))
    assert main(["verify", str(file)]) == 4
    told = capsys.readouterr()
    assert told.out == "" and str(error) in told.err
    # A file that cannot be read, and words that are not understood, are no such failure.
    assert main(["verify", str(tmp_path / "nothing.json")]) == 2
    assert main(["verify", str(file), "--require", "bogus"]) == 2


def test_output_that_nobody_reads_does_not_change_the_verdict(file: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom opg_magic.shell.main import main\n"
        "sys.exit(main(['verify', sys.argv[1]]))\n"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", code, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"OPG_HOME": str(tmp_path / "home")},
    )
    assert started.stdout is not None and started.stderr is not None
    started.stdout.close()
    told = started.stderr.read()
    started.stderr.close()
    assert (started.wait(), told) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_output_is_a_failure_of_its_own(file: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom opg_magic.shell.main import main\n"
        "sys.exit(main(['verify', sys.argv[1]]))\n"
    )
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-c", code, str(file)],
            stdout=full,
            stderr=subprocess.PIPE,
            env=os.environ | {"OPG_HOME": str(tmp_path / "home")},
        )
    assert b"opg itself failed" in done.stderr and done.returncode == 4


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_what_never_ends_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from opg_magic.audit import files

    monkeypatch.setattr(files, "MAX_FILE_BYTES", 1000)
    endless = tmp_path / "endless.ipynb"
    endless.symlink_to("/dev/zero")
    report = verify(endless)
    assert report.exit_code == 2 and "longer than 1000 bytes" in report.to_text()


def test_a_closed_output_does_not_change_the_verdict(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["verify", str(file)]) == 1


def test_a_missing_module_is_named(file: Path) -> None:
    done = verifying(file, "sys.modules['cbor2'] = None\n")
    assert done.returncode == 4 and done.stdout == ""
    assert (
        "cbor2 is missing" in done.stderr
        and "pip install" in done.stderr
        and "Traceback" not in done.stderr
    )
