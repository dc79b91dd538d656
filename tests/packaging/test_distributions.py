"""What a person gets who installs the wheel, and what goes into the source distribution."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Data files without which an installed opg_magic cannot do its work.
NEEDED_IN_WHEEL = (
    "opg_magic/py.typed",
    "opg_magic/settings/prices.json",
    "opg_magic/receipt/schema/receipt-v1.json",
    "opg_magic/network/abi.json",
    "opg_magic/simnet/contracts/artifacts.json",
)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist and the wheel, built by the project's own backend from what git tracks, as from a
    fresh clone."""
    clone = tmp_path_factory.mktemp("clone") / "opg_magic"
    for name in tracked_files():
        source, target = ROOT / name, clone / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    out = tmp_path_factory.mktemp("dist")
    # The wheel is built from the source distribution, so that one proves the other whole.
    # Without Node, and by the backend that is installed here: what the lab extension brings, and a
    # build in an environment of its own, are tested with it.
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(clone)],
        env={**os.environ, "SKIP_JUPYTER_BUILDER": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    (sdist,) = out.glob("*.tar.gz")
    return wheel, sdist


def tracked_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [name for name in listed.split("\0") if name]


def wheel_names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("name", NEEDED_IN_WHEEL)
def test_wheel_brings_the_data_files(distributions: tuple[Path, Path], name: str) -> None:
    assert name in wheel_names(distributions[0])


def test_wheel_brings_every_module_and_nothing_beside_the_package(
    distributions: tuple[Path, Path],
) -> None:
    names = wheel_names(distributions[0])
    modules = {
        name for name in tracked_files() if name.startswith("opg_magic/") and name.endswith(".py")
    }
    assert modules <= names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.startswith("opg_magic")} == set()
    assert not [name for name in names if "node_modules" in name or "/test" in name]


def test_wheel_carries_licence_readme_and_command(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[0]) as archive:
        (info,) = [
            name.rsplit("/", 1)[0] for name in archive.namelist() if name.endswith("/METADATA")
        ]
        metadata = archive.read(f"{info}/METADATA").decode()
        assert "License-Expression: BSD-3-Clause" in metadata
        assert "# opg_magic" in metadata
        assert (
            "opg = opg_magic.shell.main:main" in archive.read(f"{info}/entry_points.txt").decode()
        )
        assert any(name.startswith(f"{info}/licenses/") for name in archive.namelist())


def test_the_package_s_page_has_no_image_or_link_that_only_the_repository_has(
    distributions: tuple[Path, Path],
) -> None:
    with zipfile.ZipFile(distributions[0]) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        fields, _, page = archive.read(name).decode().partition("\n\n")
    assert "Description-Content-Type: text/markdown" in fields
    assert len(page) > 5_000 and "](docs/" in (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert links and not [link for link in links if not link.startswith("https://")]
    assert "![" not in page and "<img" not in page
    addresses = re.findall(r"^Project-URL: .+, (.+)$", fields, re.MULTILINE)
    assert addresses and not [
        one for one in addresses if not one.startswith("https://") or "example" in one
    ]


def test_nothing_that_tools_leave_behind_is_in_either(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[1]) as archive:
        names = {*archive.getnames(), *wheel_names(distributions[0])}
    left = re.compile(r"\.(orig|rej|bak|swp|pyc)$|~$|(^|/)(__pycache__|\.git)/")
    assert not [name for name in names if left.search(name)]


def test_sdist_holds_what_a_build_and_its_tests_need(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[1]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    for needed in (
        "pyproject.toml",
        "Makefile",
        "README.md",
        "LICENSE",
        "examples/quickstart.ipynb",
        *NEEDED_IN_WHEEL,
    ):
        assert needed in names
    assert not [name for name in names if name.startswith((".venv", "build/", "node_modules"))]


def test_installed_wheel_loads_without_the_clone(
    distributions: tuple[Path, Path], tmp_path: Path
) -> None:
    """The package is importable from the wheel's own files alone, data included."""
    with zipfile.ZipFile(distributions[0]) as archive:
        archive.extractall(tmp_path / "site")
    script = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import opg_magic
from opg_magic.receipt.document import Receipt
assert pathlib.Path(opg_magic.__file__).is_relative_to(sys.argv[1]), opg_magic.__file__
print(opg_magic.__version__)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, str(tmp_path / "site")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in distributions[0].name
