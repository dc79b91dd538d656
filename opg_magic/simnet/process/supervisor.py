"""The background process: one for all kernels of an installation, gone ten minutes after its last
client.

A lock on a file (``flock``) says that it runs: the system releases it when the process ends,
however it ends, so a crash blocks nothing and two starts cannot both win.  The state file is
written once everything answers, and removed at the end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic.errors import OpgError, SimnetError
from opg_magic.network import simnet_client
from opg_magic.network.simnet_model import Choice
from opg_magic.settings import environment, paths

if TYPE_CHECKING:
    from opg_magic.simnet.model.interface import Model
    from opg_magic.simnet.network import SimNetwork

#: The process ends this long after its last client's last activity, in seconds.
IDLE_SECONDS = 600.0
#: How often the leases are looked at.
LOOK_SECONDS = 5.0

#: Exit code of a process that found another one running or starting.
ALREADY = 75

LOG_TAIL = 30
#: Begins the lines of the log that say why the network did not start.
_REASON = "Not started: "


def log_file() -> Path:
    """Where the process writes what it does."""
    return paths.simnet_dir() / "simnet.log"


def lock_file() -> Path:
    """The file whose lock says that a network runs."""
    return paths.simnet_dir() / "lock"


class Leases:
    """Which processes use the network.  ``idle_since`` moves with every request and while any of
    them lives."""

    def __init__(self) -> None:
        self._clients: dict[int, str] = {}
        self.idle_since = time.monotonic()

    def touch(self) -> None:
        """Something was asked of the network."""
        self.idle_since = time.monotonic()

    def add(self, pid: int) -> None:
        """The process uses the network until it ends."""
        self._clients[pid] = _birth(pid)
        self.touch()

    def idle_for(self) -> float:
        """Seconds since anyone used the network; 0 while a client lives."""
        self._clients = {
            pid: born for pid, born in self._clients.items() if _birth(pid) == born != ""
        }
        if self._clients:
            self.touch()
        return time.monotonic() - self.idle_since


def _birth(pid: int) -> str:
    """What tells a process from a later one of the same number: "" if there is none, its start
    where that is known."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "alive"
    try:
        # Field 22 of proc(5) stat is the start time; the name in field 2 may hold blanks, and ends
        # with the last ")".
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return "alive"
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


@contextmanager
def running_lock() -> Iterator[bool]:
    """Hold the lock of the one running network; False where another process holds it."""
    import fcntl

    path = lock_file()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def is_locked() -> bool:
    """Whether a network runs or starts."""
    with running_lock() as free:
        return not free


# ------------------------------------------------------------------------------- the process itself


def serve(
    *,
    idle_seconds: float = IDLE_SECONDS,
    choice: Choice | None = None,
    token_delay: float = 0.015,
    **options: Any,
) -> int:
    """Run the network in this process until it is told to end, or nobody uses it.  The exit code.

    ``choice`` says who answers (None: the script, ``token_delay`` seconds a token); ``options`` are
    those of :class:`~opg_magic.simnet.network.SimNetwork`.
    """
    for name in set(os.environ) - set(simnet_client.clean_environment()):
        del os.environ[name]
        environment.forget(name)
    os.umask(0o077)
    # jsonschema, by which hosts refuse a body, would build grammars of IRIs, of which no schema of
    # theirs speaks: more than a second of the first call.  This process is our own.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    with running_lock() as mine:
        if not mine:
            return ALREADY
        # A state file that is here now was left by a process that was killed.
        simnet_client.state_file().unlink(missing_ok=True)
        logging.basicConfig(
            stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s"
        )
        try:
            options["answers"] = (choice or Choice()).flags
            options["model"] = _model(choice or Choice(), token_delay)
            asyncio.run(_serve(options, idle_seconds))
        except OpgError as error:
            print(f"{_REASON}{error}", file=sys.stderr)
            return 1
        finally:
            simnet_client.state_file().unlink(missing_ok=True)
    return 0


def _model(choice: Choice, token_delay: float) -> Model:
    """What answers.  Raises WeightsError or SimnetError for a file that cannot be used."""
    if choice.upstream is not None:
        from opg_magic.simnet.model.upstream import Upstream

        return Upstream(choice.upstream)
    if choice.weights is not None:
        from opg_magic.simnet.model.local import LocalModel, examine

        return LocalModel(examine(choice.weights))
    from opg_magic.simnet.model.scripted import ScriptedModel

    return ScriptedModel(token_delay)


async def _serve(options: dict[str, Any], idle_seconds: float) -> None:
    from opg_magic.simnet.network import SimNetwork

    leases = Leases()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    network = SimNetwork(
        **options,
        on_activity=leases.touch,
        on_client=leases.add,
        on_down=ended.set,
    )
    await network.start()
    try:
        # Counted from when it can be used: a start takes a while.
        leases.touch()
        write_state(network)
        logging.getLogger(__name__).info("ready: run %s", network.run_id)
        while leases.idle_for() < idle_seconds:
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), min(LOOK_SECONDS, idle_seconds))
                break
    finally:
        # First the file: whoever looks from here on must not find a network that is going.
        simnet_client.state_file().unlink(missing_ok=True)
        await network.stop()


def write_state(network: SimNetwork) -> None:
    """Write the state file at once and whole, 0600."""
    path = simnet_client.state_file()
    draft = path.with_name(f".state.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(network.state, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


# -------------------------------------------------------------------------------------- starting it


def up(*, timeout: float = 60.0, arguments: tuple[str, ...] = ()) -> dict[str, Any]:
    """The state of the running network, started as a detached process if none runs.

    ``arguments`` are flags of ``serve``.  SimnetError, with the end of the log, if it does not come
    up in time."""
    state = simnet_client.read_state()
    if state is not None:
        return state
    missing = simnet_client.missing_packages()
    if missing:
        raise SimnetError(
            f"The simulated network needs {', '.join(missing)}.", hint=simnet_client.install_hint()
        )
    deadline = time.monotonic() + timeout
    process = _spawn(arguments)
    while True:
        state = simnet_client.read_state()
        if state is not None:
            return state
        code = process.poll()
        if code == ALREADY and not is_locked() and simnet_client.read_state() is None:
            # The other one ended before it was ready (killed, or told to): the place is free again.
            process, code = _spawn(arguments), None
        if code not in (None, ALREADY):
            if reason := _reason():
                raise SimnetError(f"The simulated network ended while starting. {reason}")
            raise SimnetError(
                f"The simulated network ended while starting (exit code {code}).", hint=_log_tail()
            )
        if time.monotonic() > deadline:
            if code is None:
                process.terminate()
            raise SimnetError(
                f"The simulated network did not start within {timeout:g} s.", hint=_log_tail()
            )
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
        if code == ALREADY:
            # Another process is starting it; there is no handle to wait on but its file.
            time.sleep(0.1)


def _spawn(arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
    path = log_file()
    # The one that holds the lock writes here; a second one that finds it taken says nothing.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    if not is_locked():
        os.ftruncate(descriptor, 0)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "opg_magic.simnet", "serve", *arguments],
            env=simnet_client.clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            cwd=str(paths.home()),
        )
    finally:
        os.close(descriptor)


def _reason() -> str | None:
    """Why the process gave up, in its own words; None where it could not say."""
    try:
        return log_file().read_text("utf-8", "replace").partition(_REASON)[2].strip() or None
    except OSError:
        return None


def _log_tail() -> str:
    try:
        lines = log_file().read_text("utf-8", "replace").splitlines()[-LOG_TAIL:]
    except OSError:
        return f"There is no log at {log_file()}."
    return f"The end of {log_file()}:\n" + "\n".join(f"  {line}" for line in lines)
