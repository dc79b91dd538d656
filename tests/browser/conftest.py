"""A JupyterLab of its own, and a Chromium that looks at it.  Nothing of the user's is read or
written."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from support import signing
from support.lab_page import WAIT_MS, Eyes, Lab

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

#: What JupyterLab asks the world outside for unless told not to.
QUIET = '{"fetchNews": "false", "checkForUpdates": false}'
SERVER_SECONDS = 120
PLAIN_HOST = "plain.test"


@pytest.fixture(scope="session")
def kernel_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from run_notebook import environment

    scratch = tmp_path_factory.mktemp("browser")
    return environment(scratch / "home", scratch)


@pytest.fixture(scope="session")
def network(kernel_env: dict[str, str]) -> Iterator[None]:
    """The simulated network starts at the first cell that needs it; it is stopped here."""
    yield
    subprocess.run(
        [sys.executable, "-m", "opg_magic.shell.main", "simnet", "down"],
        env=kernel_env,
        check=False,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )


@pytest.fixture(scope="session")
def executed_quickstart(
    kernel_env: dict[str, str], network: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The quickstart as it runs, top to bottom, in a fresh kernel."""
    from run_notebook import run

    folder = tmp_path_factory.mktemp("executed")
    target = folder / "quickstart.ipynb"
    run(ROOT / "examples" / "quickstart.ipynb", target, cwd=folder, env=kernel_env, say=print)
    return target


@pytest.fixture(scope="session")
def lab(
    kernel_env: dict[str, str], network: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    with _serving(kernel_env, tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module")
def lab_without_us(
    kernel_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """A JupyterLab that has no extension of ours."""
    scratch = tmp_path_factory.mktemp("lab_without_us")
    config = scratch / "config"
    (config / "labconfig").mkdir(parents=True)
    (config / "labconfig" / "page_config.json").write_text(
        json.dumps({"disabledExtensions": {"opg-magic": True}})
    )
    with _serving(kernel_env | {"JUPYTER_CONFIG_DIR": str(config)}, scratch) as running:
        yield running


@contextmanager
def _serving(kernel_env: dict[str, str], scratch: Path) -> Iterator[Lab]:
    """A server with settings and notebooks of its own under ``scratch``."""
    root = scratch / "notebooks"
    root.mkdir()
    quiet = (
        scratch
        / "settings"
        / "@jupyterlab"
        / "apputils-extension"
        / "notification.jupyterlab-settings"
    )
    quiet.parent.mkdir(parents=True)
    quiet.write_text(QUIET)
    env = kernel_env | {
        "JUPYTERLAB_SETTINGS_DIR": str(scratch / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(scratch / "workspaces"),
        # Its notebooks ask one question many times, and their ledger is theirs together.
        "OPG_ON_REPEAT": "pay",
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    log = (scratch / "server.log").open("w")
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={token}",
            f"--ServerApp.root_dir={root}",
            "--ServerApp.local_hostnames=localhost",
            f"--ServerApp.local_hostnames={PLAIN_HOST}",
            "--allow-root",
            "--LabApp.expose_app_in_browser=True",
            "--JupyterNotebookApp.expose_app_in_browser=True",
            "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        ],
        env=env,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(server, f"{url}/api?token={token}", scratch / "server.log")
        yield Lab(root, url, token, env)
    finally:
        server.terminate()
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            server.kill()
        log.close()


def _wait_until_up(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium here; `make test` installs it")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--force-color-profile=srgb",
                # A name that is not known as this machine's own: pages under it have no WebCrypto.
                # No other is found.
                f"--host-resolver-rules=MAP {PLAIN_HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE "
                f"127.0.0.1",
            ],
        )
        yield running
        running.close()


@pytest.fixture
def eyes(browser: Any, lab: Lab) -> Iterator[Eyes]:
    with _looking(browser, lab) as seen:
        yield seen


@pytest.fixture
def eyes_without_us(browser: Any, lab_without_us: Lab) -> Iterator[Eyes]:
    with _looking(browser, lab_without_us) as seen:
        yield seen


@contextmanager
def _looking(browser: Any, lab: Lab) -> Iterator[Eyes]:
    """A fresh page.  A request to any other address than the server's is noted; the browser finds
    no other name."""
    context = browser.new_context(viewport={"width": 1180, "height": 1000}, device_scale_factor=1.5)
    context.set_default_timeout(WAIT_MS)
    here = urlsplit(lab.url).netloc
    hosts = (here, here.replace("127.0.0.1", PLAIN_HOST))
    outside: list[str] = []

    def note(request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.netloc not in hosts:
            outside.append(request.url)

    context.on("request", note)
    page = context.new_page()
    page.on("websocket", note)
    yield Eyes(page, outside)
    context.close()
    _end_kernels(lab)
    # The next one begins with the light theme again.
    settings = Path(lab.env["JUPYTERLAB_SETTINGS_DIR"]) / "@jupyterlab" / "apputils-extension"
    (settings / "themes.jupyterlab-settings").unlink(missing_ok=True)


def _end_kernels(lab: Lab) -> None:
    """A test's kernels are of no use to the next, and each takes some 100 MB."""
    with httpx.Client(
        base_url=lab.url, headers={"Authorization": f"token {lab.token}"}, timeout=60
    ) as server:
        for session in server.get("/api/sessions").raise_for_status().json():
            server.delete(f"/api/sessions/{session['id']}").raise_for_status()


@pytest.fixture
def trusting(lab: Lab) -> Iterator[None]:
    """A reader who knows this simulated network's root, and has pinned its code."""
    settings = Path(lab.env["JUPYTERLAB_SETTINGS_DIR"]) / "opg-magic" / "plugin.jupyterlab-settings"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(
        json.dumps(
            {"simulatedRoots": [signing.authority().root_sha256], "pinnedPcrs": [signing.PCR_HASH]}
        )
    )
    yield
    settings.unlink()


@pytest.fixture
def knows_root(lab: Lab) -> Iterator[Path]:
    """A reader who knows this simulated network's root, and has pinned nothing."""
    settings = Path(lab.env["JUPYTERLAB_SETTINGS_DIR"]) / "opg-magic" / "plugin.jupyterlab-settings"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"simulatedRoots": [signing.authority().root_sha256]}))
    yield settings
    settings.unlink()
