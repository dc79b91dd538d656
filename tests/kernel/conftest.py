"""Real kernels on the real background process of the simulated network, in a home folder of this
module's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.client import KernelClient
from nbclient import NotebookClient
from support.simnet import ProcessSimnet, isolated_home


class _Client(NotebookClient):
    """Starts a kernel once more if another test's server took the port that was chosen for it."""

    async def async_start_new_kernel_client(self) -> KernelClient:
        try:
            return await super().async_start_new_kernel_client()
        except RuntimeError as problem:
            if "Kernel died before replying" not in str(problem):
                raise
        self.create_kernel_manager()
        await self.async_start_new_kernel()
        return await super().async_start_new_kernel_client()


@pytest.fixture(scope="session")
def kernel_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("kernel") / "home"
    with isolated_home(home):
        process = ProcessSimnet()
        try:
            process.up()
            yield home
        finally:
            process.end()


@pytest.fixture
def notebook(
    kernel_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., NotebookClient]:
    """A client for a notebook of these cells; nothing has run yet."""
    monkeypatch.setenv("OPG_HOME", str(kernel_home))
    monkeypatch.setenv("JPY_SESSION_NAME", "study.ipynb")
    # Its tests ask one question many times, and its ledger is theirs together.
    monkeypatch.setenv("OPG_ON_REPEAT", "pay")

    def make(*cells: str, **options: Any) -> NotebookClient:
        made = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in ("%load_ext opg_magic", *cells)],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            },
        )
        return _Client(
            made, timeout=120, resources={"metadata": {"path": str(tmp_path)}}, **options
        )

    return make
