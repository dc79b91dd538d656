"""The JupyterLab extension as the wheel brings it, built from what git tracks; and what a clone
without Node gets."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import opg_magic

ROOT = Path(__file__).resolve().parents[2]

#: Where JupyterLab looks, as a wheel names it.
LABEXTENSION = ".data/data/share/jupyter/labextensions/opg-magic/"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")


def clone_to(target: Path) -> Path:
    """What git tracks, as in a fresh clone."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(source.read_bytes())
    return target


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Wheel and sdist, the wheel built from the sdist with the extension that the sdist brings."""
    clone = clone_to(tmp_path_factory.mktemp("clone") / "opg_magic")
    out = tmp_path_factory.mktemp("dist")
    env = {key: value for key, value in os.environ.items() if key != "SKIP_JUPYTER_BUILDER"}
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(clone)]
    done = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    shutil.rmtree(clone, ignore_errors=True)
    assert done.returncode == 0, done.stdout[-4000:]
    (wheel,) = out.glob("*.whl")
    (sdist,) = out.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def labextension(
    distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The prebuilt extension as the wheel brings it, in a share/jupyter folder."""
    share = tmp_path_factory.mktemp("share")
    with zipfile.ZipFile(distributions[0]) as archive:
        for name in archive.namelist():
            _, found, inner = name.partition(LABEXTENSION)
            if found:
                target = share / "labextensions" / "opg-magic" / inner
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
    return share


@needs_node
def test_wheel_and_sdist_bring_the_prebuilt_labextension(
    distributions: tuple[Path, Path], labextension: Path
) -> None:
    built = labextension / "labextensions" / "opg-magic"
    assert list(built.glob("static/remoteEntry.*.js"))
    assert json.loads((built / "install.json").read_text())["packageName"] == "opg_magic"
    assert not list(built.rglob("*.map")) and not list(built.rglob("*.ts"))
    with tarfile.open(distributions[1]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert any(name.startswith("opg_magic/labextension/static/remoteEntry.") for name in names)
    assert "labextension/yarn.lock" in names


def build_script(root: Path) -> ModuleType:
    """``scripts/labextension.py`` of the clone ``root``, as a module."""
    spec = importlib.util.spec_from_file_location("building", root / "scripts" / "labextension.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unnumbered(script: str) -> str:
    """A chunk without the numbers of modules and chunks, which are hashes of their paths."""
    return re.sub(r"(?<=[\[({,])\d{2,4}(?=[\](),:{}])", "N", script)


@needs_node
def test_the_quick_build_of_a_clone_is_what_a_release_brings(
    labextension: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chunk by chunk, with the compiler and the bundler alone.  The entry's name hashes its
    folder, and where the hashes of two modules' paths collide, one gets another number."""
    clone = clone_to(tmp_path / "clone")
    building = build_script(clone)
    building.quick()
    said = capsys.readouterr().out
    for name in ("1 of 3: packages", "2 of 3: compile", "3 of 3: bundle"):
        assert name in said
    there = {path.name for path in (building.STAGE / "node_modules").iterdir()}
    assert "jest" not in there and "mermaid" not in there and "react" not in there
    released, made = (
        sorted(
            unnumbered(path.read_text(encoding="utf-8"))
            for path in (folder / "static").iterdir()
            if not path.name.startswith("remoteEntry.")
        )
        for folder in (labextension / "labextensions" / "opg-magic", building.BUILT)
    )
    assert made == released
    (entry,) = building.BUILT.glob("static/remoteEntry.*.js")
    package = json.loads((building.BUILT / "package.json").read_text(encoding="utf-8"))
    assert package["jupyterlab"]["_build"]["load"] == f"static/{entry.name}"
    assert (
        package["dependencies"]
        == json.loads((clone / "labextension" / "package.json").read_text(encoding="utf-8"))[
            "dependencies"
        ]
    )


def test_the_quick_build_needs_nothing_that_jupyterlab_brings() -> None:
    package = json.loads((ROOT / "labextension" / "package.json").read_text(encoding="utf-8"))
    tools = build_script(ROOT).tools_of(package)["dependencies"]
    assert set(tools) == {"@jupyter/builder", "@noble/curves", "@noble/hashes", "typescript"}


@pytest.mark.parametrize(
    ("target", "version", "there", "quick"),
    [
        ("wheel", "standard", False, True),
        ("wheel", "standard", True, False),
        ("wheel", "editable", False, False),
        ("sdist", "standard", False, False),
    ],
)
def test_a_wheel_out_of_a_clone_is_built_with_few_packages(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    version: str,
    there: bool,
    quick: bool,
) -> None:
    """``pip install .`` took six minutes with 800 of them.  A release's is built with all types."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if there:
        (tmp_path / "opg_magic" / "labextension").mkdir(parents=True)
        (tmp_path / "opg_magic" / "labextension" / "package.json").touch()
    built: list[str] = []
    monkeypatch.setattr(
        module, "_builder", lambda root: SimpleNamespace(quick=lambda: built.append(str(root)))
    )
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.delenv("SKIP_JUPYTER_BUILDER", raising=False)
    hook = SimpleNamespace(root=str(tmp_path), target_name=target)
    module.Labextension.initialize(hook, version, {})
    assert built == ([str(tmp_path)] if quick else [])


@needs_node
def test_labextension_is_small(labextension: Path) -> None:
    scripts = [path.read_bytes() for path in labextension.rglob("*.js")]
    assert sum(len(gzip.compress(script)) for script in scripts) <= 150 * 1024


@needs_node
def test_jupyter_lists_the_labextension_as_good(labextension: Path) -> None:
    env = {
        **os.environ,
        "JUPYTER_PATH": str(labextension.parent / labextension.name),
        "JUPYTER_PREFER_ENV_PATH": "0",
    }
    command = [sys.executable, "-m", "jupyter", "labextension", "list"]
    done = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    _, _, ours = done.stdout.partition(str(labextension))
    (line,) = [
        line for line in ours.split("labextensions\n")[1].splitlines() if "opg-magic v" in line
    ][:1]
    assert "enabled" in line and "OK" in line, done.stdout


def test_labextension_has_the_package_s_version_and_no_addresses() -> None:
    package = json.loads((ROOT / "labextension" / "package.json").read_text(encoding="utf-8"))
    assert package["version"] == opg_magic.__version__
    lock = (ROOT / "labextension" / "yarn.lock").read_text(encoding="utf-8")
    assert "://" not in lock


@needs_node
def test_the_one_orig_file_is_the_one_that_jupyterlab_reads(
    distributions: tuple[Path, Path],
) -> None:
    """JupyterLab's builder puts it beside the schemas, and its server looks there for their
    version."""
    with zipfile.ZipFile(distributions[0]) as wheel, tarfile.open(distributions[1]) as sdist:
        for names in (wheel.namelist(), sdist.getnames()):
            (one,) = [name for name in names if name.endswith((".orig", ".rej", "~"))]
            assert one.endswith("/schemas/opg-magic/package.json.orig")
    from jupyterlab_server import settings_utils

    assert "package.json.orig" in Path(settings_utils.__file__).read_text(encoding="utf-8")


def test_a_build_without_node_says_what_to_do(tmp_path: Path) -> None:
    clone = clone_to(tmp_path / "clone")
    bare = tmp_path / "bin"
    bare.mkdir()
    env = {key: value for key, value in os.environ.items() if key != "SKIP_JUPYTER_BUILDER"} | {
        "PATH": str(bare)
    }
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", str(clone)]
    done = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode != 0
    assert "Node is not on the PATH" in done.stdout and "SKIP_JUPYTER_BUILDER=1" in done.stdout
    assert "Traceback" not in done.stdout
    assert not list(clone.rglob("*.whl"))


def test_a_clone_without_node_installs_without_the_labextension(tmp_path: Path) -> None:
    clone = clone_to(tmp_path / "clone")
    bare = tmp_path / "bin"
    bare.mkdir()
    env = {**os.environ, "SKIP_JUPYTER_BUILDER": "1", "PATH": str(bare)}
    build = "from hatchling.build import build_wheel; print(build_wheel('.'))"
    subprocess.run(
        [sys.executable, "-c", build], cwd=clone, env=env, check=True, capture_output=True
    )
    (wheel,) = clone.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "opg_magic/__init__.py" in names and not [name for name in names if "/static/" in name]
