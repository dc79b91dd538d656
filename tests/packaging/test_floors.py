"""``scripts/floors.py`` reads every lower bound that pyproject.toml declares; ``make floors`` tries
them."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def floors() -> ModuleType:
    spec = importlib.util.spec_from_file_location("floors", ROOT / "scripts" / "floors.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_dependency_of_the_project_has_a_floor(
    floors: ModuleType, pyproject: dict[str, Any]
) -> None:
    found = floors.floors(pyproject)
    names = {re.split(r"[\[<>=]", one)[0] for one in pyproject["project"]["dependencies"]}
    assert names <= set(found) and len(names) > 10
    assert {"py-evm", "pyarrow", "xlsxwriter", "jupyterlab", "nbclient"} <= set(found)
    assert all(re.fullmatch(r"\d[\w.]*", lowest) for lowest in found.values())


@pytest.mark.parametrize(
    "requirement", ["web3", "web3<9", "web3~=8.0", "web3>8", "web3>=8; os_name=='posix'", "x @ y"]
)
def test_a_dependency_without_a_floor_is_refused(
    floors: ModuleType, pyproject: dict[str, Any], requirement: str
) -> None:
    pyproject["project"]["dependencies"].append(requirement)
    with pytest.raises(floors.NoFloor, match="has no lowest version"):
        floors.floors(pyproject)


def test_one_dependency_has_one_floor(floors: ModuleType, pyproject: dict[str, Any]) -> None:
    pyproject["project"]["optional-dependencies"]["demo"].append("web3>=8.1")
    with pytest.raises(floors.NoFloor, match="two lowest"):
        floors.floors(pyproject)


def test_no_extra_that_a_user_installs_is_left_out(
    floors: ModuleType, pyproject: dict[str, Any]
) -> None:
    assert {*floors.EXTRAS, "build", "test", "lint"} == set(
        pyproject["project"]["optional-dependencies"]
    )
