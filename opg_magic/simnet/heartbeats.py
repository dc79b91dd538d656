"""The hosts' signs of life to the registry."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence

from opg_magic.errors import OpgError
from opg_magic.simnet.contracts import deploy
from opg_magic.simnet.host.host import HEARTBEAT_SECONDS, Host

log = logging.getLogger(__name__)


class Heartbeats:
    """Sends one for each host every :data:`HEARTBEAT_SECONDS`, signed by the host's key."""

    def __init__(self, registry: deploy.RegistryAdmin, hosts: Sequence[Host]) -> None:
        self._registry = registry
        self._hosts = hosts
        self._silent: set[str] = set()
        self._spoken: dict[str, int] = {}
        self._speaking = threading.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        self._task = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Stop.  Harmless when not started."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def silence(self, host: Host) -> None:
        """Send none for the host any more."""
        self._silent.add(host.name)

    def speak(self, host: Host) -> None:
        """Send one for the host now, and go on with it.  Raises SimnetError if the registry refuses
        it."""
        self._silent.discard(host.name)
        self._send(host)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            for host in self._hosts:
                if host.name not in self._silent:
                    try:
                        await asyncio.to_thread(self._send, host)
                    except OpgError as error:
                        # A disabled host's heartbeat is refused; the others must go on.
                        log.info("no heartbeat of %s: %s", host.name, error.message)

    def _send(self, host: Host) -> None:
        with self._speaking:
            # The registry wants each time to be later than the last, and counts in seconds.
            now = max(self._registry.chain.time, self._spoken.get(host.name, 0) + 1)
            signature = host.signer.sign(deploy.heartbeat_digest(host.tee_id, now))
            self._registry.heartbeat_signed(host.tee_id, now, signature)
            self._spoken[host.name] = now
        host.last_heartbeat = time.time()
