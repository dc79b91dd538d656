"""Starts the simulated network's background process, finds it and talks to it.

Light on purpose (standard library only): a kernel asks here before anything heavy is imported.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from opg_magic.errors import SimnetError
from opg_magic.models.secret import Secret
from opg_magic.settings import environment, paths

EXTRA = "simnet"

#: Import names of what the extra ``simnet`` brings, and what pip calls it.
_PACKAGES = {"aiohttp": "aiohttp", "eth": "py-evm"}

#: Environment variables that may hold a secret of the user's: taken out of the spawned process's
#: environment.
_SECRET_NAME = re.compile(
    r"PRIVATE_?KEY|MNEMONIC|SEED_?PHRASE|KEYSTORE|PASSWORD|PASSPHRASE|SECRET|TOKEN|API_?KEY|CREDENTIAL",
    re.IGNORECASE,
)
#: Of our own variables, only these reach the background process.
_OWN_ALLOWED = (
    "OPG_HOME",
    "OPG_SIMNET_MODEL",
    "OPG_SIMNET_UPSTREAM",
    "OPG_SIMNET_UPSTREAM_KEY",
)


def missing_packages() -> list[str]:
    """Return what pip would have to install for the simulated network, by pip's names."""
    from importlib.util import find_spec

    return [project for module, project in _PACKAGES.items() if find_spec(module) is None]


def install_hint() -> str:
    """Return how to install what the extra brings.  It names the packages themselves, since this
    one need not be in any index."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        wanted = requires("opg-magic") or []
    except PackageNotFoundError:
        wanted = []
    named = [
        line.partition(";")[0].strip()
        for line in wanted
        if re.search(rf"extra\s*==\s*['\"]{EXTRA}['\"]", line)
    ]
    return "Install it with: pip install " + " ".join(
        f'"{name}"' for name in named or missing_packages()
    )


def state_file() -> Path:
    """Return where the running network says how to reach it."""
    return paths.simnet_dir() / "state.json"


def _kept(*names: str) -> str:
    """A file of the simulated network's; nothing is made for it.  Raises OSError where there is
    none."""
    path = paths.existing("simnet", *names)
    if path is None:
        raise FileNotFoundError("/".join(names))
    return path.read_text("utf-8")


def read_state() -> dict[str, Any] | None:
    """Return the state of the running network, None if it does not run.

    It runs if its process exists and the control address answers for the same ``run_id``: a file
    that a crash left behind does not count.
    """
    try:
        state = json.loads(_kept("state.json"))
        pid, run_id = int(state["pid"]), str(state["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not _exists(pid):
        return None
    try:
        answer = control(state, "GET", "/status", timeout=5.0)
    except SimnetError:
        return None
    return state if isinstance(state, dict) and answer.get("run_id") == run_id else None


def still_runs(state: dict[str, Any]) -> bool:
    """Return whether that start of the network is still the one that runs.  Cheap: every call asks
    first."""
    try:
        now = json.loads(_kept("state.json"))
        return bool(now["run_id"] == state["run_id"]) and _exists(int(now["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def answering_model() -> str | None:
    """Return the name of the open model that answers on the simulated network: the running one, or
    the one that a call would start.  None: a script answers, or a server of the user's."""
    flags = _flags()
    if flags[:1] != ("--model",):
        return None
    from opg_magic.network.simnet_model import name_of

    return name_of(Path(flags[1]))


def forwards() -> bool:
    """Return whether the simulated hosts forward to a server of the user's, now or once they are
    started."""
    return _flags()[:1] == ("--upstream",)


def _flags() -> tuple[str, ...]:
    """The flags by which the running network, or the one that a call would start, was told who
    answers.  Empty where that cannot be said."""
    from opg_magic.network import simnet_model

    try:
        state = json.loads(_kept("state.json"))
        if _exists(int(state["pid"])):
            return tuple(map(str, state["answers"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        return simnet_model.choose().flags
    except SimnetError:
        return ()


def own_roots() -> frozenset[str]:
    """Return the SHA-256 fingerprint of this installation's own simulated attestation root; empty
    if the network never ran."""
    from base64 import b64decode
    from hashlib import sha256

    try:
        pem = _kept("keys", "root.pem")
        body = pem.partition("-----BEGIN CERTIFICATE-----")[2].partition(
            "-----END CERTIFICATE-----"
        )[0]
        return (
            frozenset({sha256(b64decode("".join(body.split()), validate=True)).hexdigest()})
            if body
            else frozenset()
        )
    except (OSError, ValueError):
        return frozenset()


def launcher() -> list[str]:
    """Return the command of the simulated network's own command line.  Raises :class:`SimnetError`
    if the extra is missing."""
    missing = missing_packages()
    if missing:
        raise SimnetError(f"The simulated network needs {', '.join(missing)}.", hint=install_hint())
    return [sys.executable, "-m", "opg_magic.simnet"]


def command(arguments: list[str]) -> str:
    """Run ``opg simnet`` with these arguments and return what it prints.  Raises
    :class:`SimnetError` with its words if it fails."""
    done = subprocess.run(  # noqa: S603
        [*launcher(), *arguments],
        env=clean_environment() | {"PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise SimnetError(
            (done.stderr or done.stdout).strip() or f"opg simnet ended with code {done.returncode}"
        )
    return done.stdout.strip()


def ensure_up(timeout: float = 60.0) -> dict[str, Any]:
    """Start the network if it does not run, become its client, and return its state.

    Two kernels that start at once get the same network.  Raises :class:`SimnetError` if the extra
    is missing, or if it does not start within ``timeout`` seconds: then with the end of its log."""
    state = read_state()
    if state is None:
        missing = missing_packages()
        if missing:
            raise SimnetError(
                f"The simulated network needs {', '.join(missing)}.", hint=install_hint()
            )
        try:
            done = subprocess.run(  # noqa: S603
                [*launcher(), "up", "--timeout", str(timeout)],
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=timeout + 15,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SimnetError(
                f"The simulated network did not start within {timeout:g} s."
            ) from None
        state = read_state()
        if state is None:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise SimnetError(
                said or f"The simulated network did not start (exit code {done.returncode})."
            )
    lease(state)
    return state


def lease(state: dict[str, Any], pid: int | None = None) -> None:
    """Tell the network that this process (or ``pid``) uses it: it runs as long as the process."""
    control(state, "POST", "/clients", {"pid": pid or os.getpid()})


def wallet_key(state: dict[str, Any]) -> Secret[str]:
    """Return the simulated network's own payer key (0x-hex), made per installation.  Raises
    :class:`SimnetError` if it cannot be read."""
    try:
        return Secret(Path(str(state["wallet_key_file"])).read_text("ascii").strip())
    except OSError as error:
        raise SimnetError(f"the simulated wallet's key cannot be read: {error.strerror}") from None


def relay_token(state: dict[str, Any]) -> Secret[str]:
    """Return the token of this installation's own account at the simulated relay."""
    return Secret(str(state.get("relay_token", "")))


def status() -> dict[str, Any] | None:
    """Return what the running network says of itself, None if it does not run."""
    state = read_state()
    return None if state is None else control(state, "GET", "/status")


def cheat(host: str, mode: str) -> dict[str, Any]:
    """Make a host of the running network cheat (``off``: be honest).  Raises :class:`SimnetError`
    if the network does not run, or refuses."""
    return control(_running(), "POST", "/cheat", {"host": host, "mode": mode})


def registry(host: str, action: str) -> dict[str, Any]:
    """Change a host's standing in the running network's registry (``disable``, ``enable``,
    ``revoke``, ``approve``, ``silence``, ``heartbeat``); return the network's status after it."""
    return control(_running(), "POST", "/registry", {"host": host, "action": action})


def restart(host: str) -> dict[str, Any]:
    """Make a host of the running network forget its payment sessions, as a restart does; return how
    many it ``lost``."""
    return control(_running(), "POST", "/restart", {"host": host})


def settle() -> dict[str, Any]:
    """Make the running network settle its open payments and commit the hashes that it collected,
    now.  Return the hashes of the ``transactions`` and the ``batches``."""
    state = _running()
    return {**control(state, "POST", "/settle"), **control(state, "POST", "/settle_batch")}


def down(timeout: float = 15.0) -> bool:
    """Stop the running network and wait until it is gone.  Return False if there was none."""
    import time

    state = read_state()
    if state is None:
        return False
    control(state, "POST", "/down")
    deadline = time.monotonic() + timeout
    # It is not our child process, so we cannot wait for it: we look.
    while _exists(int(state["pid"])) and state_file().exists():
        if time.monotonic() > deadline:
            raise SimnetError(
                f"The simulated network (process {state['pid']}) did not end within {timeout:g} s."
            )
        time.sleep(0.05)
    return True


def control(
    state: dict[str, Any],
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    timeout: float = 30.0,
) -> dict[str, Any]:
    """Send one request to the control address and return its JSON answer.  Raises
    :class:`SimnetError` if it cannot be reached or refuses."""
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    where = urlsplit(str(state["control"]))
    # Only this machine: a state file that points elsewhere must not send the token there.
    if where.hostname != "127.0.0.1" or where.port is None:
        raise SimnetError("The state file names a control address that is not on this machine.")
    connection = HTTPConnection(where.hostname, where.port, timeout=timeout)
    try:
        connection.request(
            method,
            path,
            body=json.dumps(body) if body is not None else None,
            headers={
                "X-Control-Token": str(state["control_token"]),
                "Content-Type": "application/json",
            },
        )
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, HTTPException, ValueError) as error:
        raise SimnetError(
            f"The simulated network does not answer: {type(error).__name__}"
        ) from None
    finally:
        connection.close()
    if not isinstance(answer, dict) or response.status != 200:
        said = answer if isinstance(answer, dict) else {}
        raise SimnetError(str(said.get("error", f"HTTP {response.status}")), hint=said.get("hint"))
    return answer


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what may be a secret of the user's; our own
    variables as they were at the start.

    ``OPG_HOME`` is absolute there: the background process works in another folder.
    """
    others = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith(environment.PREFIX) or _SECRET_NAME.search(name))
    }
    own = {name: value for name in _OWN_ALLOWED if (value := environment.get(name)) is not None}
    if (home := environment.home()) is not None:
        own[environment.HOME] = str(home)
    return others | own


def _running() -> dict[str, Any]:
    state = read_state()
    if state is None:
        raise SimnetError(
            "The simulated network is not running.", hint="Start it with: %opg simnet up"
        )
    return state


def _exists(pid: int) -> bool:
    """Whether the process runs.  One that has ended and was not yet waited for (common in
    containers) does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # proc(5): the state follows the name, which ends with the last parenthesis.
        return (
            not Path(f"/proc/{pid}/stat")
            .read_text("ascii", "replace")
            .rpartition(")")[2]
            .startswith(" Z")
        )
    except OSError:
        return True
