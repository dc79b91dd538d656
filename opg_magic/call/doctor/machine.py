"""This machine: versions, front end, extension, a model of its own, the ledger's file."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from opg_magic import __version__, errors
from opg_magic.call.doctor.patient import Patient, in_thread
from opg_magic.models.diagnosis import Finding, State

#: Where Jupyter looks for our part of the page, and by which name it is switched off.
EXTENSION = "opg-magic"
_LAB = "jupyterlab"
_SERVER = "opg_magic.server"
#: Free disk (bytes) below which you are told, and below which a receipt may not be kept.
LITTLE, NOTHING = 200 * 1024 * 1024, 8 * 1024 * 1024


async def versions(patient: Patient) -> Finding:
    """Package, Python and JupyterLab, and whether the page's part is of the same version."""
    lab = _version(_LAB)
    says = f"opg_magic {__version__}, Python {platform.python_version()}"
    says += f", JupyterLab {lab}" if lab else ", no JupyterLab in this environment"
    page = await in_thread(_page_version)
    if lab and not _fits(lab):
        return Finding(
            "versions", State.MEND, f"{says}; 4.2 or newer is needed.", _pip("jupyterlab>=4.2,<5")
        )
    if page is not None and page != __version__:
        return Finding(
            "versions",
            State.MEND,
            f"{says}. The extension is {page}: not the kernel's version.",
            _pip("--force-reinstall opg_magic"),
        )
    return Finding("versions", State.GOOD, f"{says}.")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fits(lab: str) -> bool:
    parts = lab.split(".")
    return parts[0] == "4" and len(parts) > 1 and parts[1].isdigit() and int(parts[1]) >= 2


def _pip(what: str) -> str:
    quoted = f'"{what}"' if ">" in what else what
    return f"pip install {quoted}"


async def front_end(patient: Patient) -> Finding:
    """Where this is shown, as far as the environment tells."""
    if not patient.in_notebook:
        return Finding("front end", State.GOOD, "A shell: text only.")
    told = {
        "COLAB_RELEASE_TAG": "Google Colab",
        "VSCODE_PID": "VS Code",
        "VSCODE_CWD": "VS Code",
        "JPY_SESSION_NAME": "Jupyter (JupyterLab or Notebook)",
    }
    for variable, name in told.items():
        if os.environ.get(variable):
            checks = (
                ""
                if name.startswith("Jupyter")
                else " It shows cards and checks nothing: use opg verify."
            )
            return Finding("front end", State.GOOD, f"{name}.{checks}")
    return Finding("front end", State.UNKNOWN, "A kernel whose front end does not say what it is.")


async def extension(patient: Patient) -> Finding:
    """Whether JupyterLab finds the extension in this environment, and has it switched on."""
    if _version(_LAB) is None and _version("notebook") is None:
        return Finding(
            "extension",
            State.UNKNOWN,
            "No JupyterLab in this environment. Where it runs, opg_magic must be installed too.",
        )
    where = await in_thread(_page_folder)
    if where is None:
        return Finding(
            "extension",
            State.MEND,
            "JupyterLab does not find it.",
            _pip("--force-reinstall opg_magic"),
        )
    off = await in_thread(_switched_off)
    if off == EXTENSION:
        return Finding(
            "extension",
            State.MEND,
            "It is switched off.",
            f"jupyter labextension enable {EXTENSION}",
        )
    if off == _SERVER:
        return Finding(
            "extension",
            State.MEND,
            "Its part of the server is switched off: no ledger in the page.",
            f"jupyter server extension enable {_SERVER}",
        )
    return Finding("extension", State.GOOD, "Installed and switched on.")


def _page_folder() -> Path | None:
    for place in _jupyter("data"):
        if (folder := place / "labextensions" / EXTENSION).joinpath("package.json").exists():
            return folder
    return None


def _page_version() -> str | None:
    folder = _page_folder()
    found = None if folder is None else _json(folder / "package.json").get("version")
    return found[:40] if isinstance(found, str) else None


def _switched_off() -> str | None:
    """Which part of the extension is switched off, by the first place that says so."""
    for place in _jupyter("config"):
        disabled = _json(place / "labconfig" / "page_config.json").get("disabledExtensions")
        if isinstance(disabled, dict) and disabled.get(EXTENSION) is True:
            return EXTENSION
        if isinstance(disabled, list) and EXTENSION in disabled:
            return EXTENSION
        for file in (
            place / "jupyter_server_config.json",
            place / "jupyter_server_config.d" / "opg_magic.json",
        ):
            on = _json(file).get("ServerApp")
            on = on.get("jpserver_extensions") if isinstance(on, dict) else None
            if isinstance(on, dict) and on.get(_SERVER) is False:
                return _SERVER
    return None


def _jupyter(kind: str) -> list[Path]:
    """Where Jupyter looks for data or settings, first first."""
    try:
        from jupyter_core import paths as jupyter
    except ImportError:
        return [Path(sys.prefix, "share" if kind == "data" else "etc", "jupyter")]
    found = jupyter.jupyter_path() if kind == "data" else jupyter.jupyter_config_path()
    return [Path(place) for place in found]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8")) if path.stat().st_size < 1 << 20 else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


async def local_model(patient: Patient) -> Finding:
    """What answers on the simulated network: weights, a script, or a server of yours."""
    from opg_magic.models.plain_text import inert
    from opg_magic.network import simnet_model
    from opg_magic.weights import fetch

    offered = "".join(
        f" {inert(server.name)} runs here; to use it: opg simnet up --upstream {server.url}"
        for server in await in_thread(lambda: list(simnet_model.servers()))
    )
    weights = await in_thread(lambda: fetch.cached(fetch.SMOLLM2))
    runtime = _version(simnet_model.RUNTIME)
    needed = State.MEND if patient.simulated else State.IDLE
    if weights is not None and runtime is not None:
        return Finding(
            "local model",
            State.GOOD,
            f"{weights.name} and {simnet_model.RUNTIME} {runtime} are here.{offered}",
        )
    return Finding(
        "local model",
        needed,
        f"None here: on the simulated network a script answers.{offered}",
        simnet_model.INSTALL if runtime is None else f"opg models get {fetch.SMOLLM2.name}",
    )


async def ledger(patient: Patient) -> Finding:
    """Whether the ledger opens and is whole, and whether the disk has room for more."""
    from opg_magic.ledger.pages import LedgerReader
    from opg_magic.settings import paths

    def look() -> tuple[int | None, bool]:
        path = paths.existing("ledger.sqlite")
        if path is None:
            return None, True
        with LedgerReader(path) as ledger:
            return ledger.count(), ledger.is_whole(at_most=256 * 1024 * 1024)

    free, writable = await in_thread(_room)
    if not writable:
        return Finding(
            "ledger", State.BLOCKS, "Its folder cannot be written.", "export OPG_HOME=FOLDER"
        )
    if free < NOTHING:
        return Finding("ledger", State.BLOCKS, f"{free // 1024:,} kB of disk are free.", "df -h")
    try:
        count, whole = await in_thread(look)
    except errors.LedgerError as problem:
        return Finding("ledger", State.BLOCKS, problem.message, "opg ledger rescue")
    if not whole:
        return Finding("ledger", State.BLOCKS, "Its file is damaged.", "opg ledger rescue")
    receipts = "1 receipt" if count == 1 else f"{count or 0:,} receipts"
    holds = "None yet; the first call makes it" if count is None else f"{receipts}, whole"
    room = f"{free / 2**30:.1f} GB of disk are free"
    if free < LITTLE:
        return Finding(
            "ledger", State.MEND, f"{holds}. Only {free // 2**20} MB of disk are free.", "df -h"
        )
    return Finding("ledger", State.GOOD, f"{holds}; {room}.")


def _room() -> tuple[int, bool]:
    """Free bytes where the ledger is or would be, and whether that folder can be written."""
    from opg_magic.settings import paths

    place = paths.data_folder()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free, os.access(place, os.W_OK)
