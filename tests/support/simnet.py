"""The simulated network for tests: in a background thread, or as its real process; and a bare
client that pays.

The client is written against the protocol alone (httpx, the project's x402 messages, eth-account),
so that it shows what a host does without the engine between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from opg_magic import models
from opg_magic.models import CHAT_PATH, Authorisation
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.network import simnet_client
from opg_magic.protocol import payment_terms, x402
from opg_magic.simnet.contracts import deploy
from opg_magic.simnet.host.host import Host
from opg_magic.simnet.network import SimNetwork
from opg_magic.simnet.settlement.relay import Batch

T = TypeVar("T")


@contextlib.contextmanager
def isolated_home(home: Path) -> Iterator[Path]:
    """``OPG_HOME`` set to a folder while it lasts (for fixtures that live longer than
    ``monkeypatch``)."""
    before = os.environ.get("OPG_HOME")
    os.environ["OPG_HOME"] = str(home)
    try:
        yield home
    finally:
        if before is None:
            os.environ.pop("OPG_HOME", None)
        else:
            os.environ["OPG_HOME"] = before


class RunningSimnet:
    """A :class:`SimNetwork` on an event loop in a thread of its own; safe to use from any test.

    ``net`` is the network itself; everything that changes it goes through :meth:`run` or the
    methods here, which run on its loop.  The scripted model answers without delay."""

    def __init__(self, *, made_by: Callable[..., SimNetwork] = SimNetwork, **options: Any) -> None:
        self._options = {"token_delay": 0.0, **options}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simnet", daemon=True)
        self.home = Path(os.environ["OPG_HOME"])
        self.net: SimNetwork = made_by(**self._options)

    def __enter__(self) -> RunningSimnet:
        self._thread.start()
        try:
            self.run(self.net.start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run(self.net.stop())
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the network's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def _call(self, work: Any) -> Any:
        async def call() -> Any:
            return work()

        return self.run(call())

    # ----------------------------------------------------------------------------------- what it is

    @property
    def network(self) -> Network:
        """The profile that a client of this network uses."""
        return self.net.network

    @property
    def wallet_key(self) -> Secret[bytes]:
        return self.net.wallet_key

    @property
    def payer(self) -> str:
        return self.net.payer

    @property
    def hosts(self) -> list[Host]:
        return self.net.hosts

    def host(self, name: str) -> Host:
        return self.net.host(name)

    def listed(self, host: Host) -> models.Host:
        """The host as the registry lists it."""
        entry = self.net.registry.contract.read("getTEE", bytes.fromhex(host.tee_id[2:]))
        return models.Host(
            tee_id=host.tee_id,
            owner=entry[0],
            payment_address=entry[1],
            endpoint=entry[2],
            public_key=entry[3],
            tls_certificate=entry[4],
            pcr_hash="0x" + entry[5].hex(),
            tee_type=entry[6],
            enabled=entry[7],
            registered_at=entry[8],
            last_heartbeat_at=entry[9],
        )

    def balance(self, address: str) -> int:
        """Base units of the token that an address owns on the payment chain."""
        return int(deploy.opg(self.net.payment_chain).read("balanceOf", address))

    # -------------------------------------------------------------------------------- what one does

    def cheat(self, host: str, mode: str) -> None:
        self._call(lambda: self.net.cheat(host, mode))

    def cheat_everywhere(self, mode: str) -> None:
        for host in self.hosts:
            self.cheat(host.name, mode)

    def settle_now(self) -> list[str]:
        """Settle all open sessions; the transactions' hashes."""
        return self.run(self.net.settle_now())

    def settle_batch(self) -> list[Batch]:
        """Commit the hashes that were collected."""
        return self.run(self.net.settle_batch())

    def registry(self, host: str, action: str) -> None:
        """``disable``, ``enable``, ``revoke``, ``approve``, ``silence``, ``heartbeat``."""
        self.run(self.net.registry_action(host, action))

    def set_settle_idle(self, seconds: float) -> None:
        self._call(lambda: self.net.set_settle_idle(seconds))

    def advance(self, seconds: float) -> None:
        """Move the payment chain's clock ahead.  It stays so: use a network of the test's own."""
        self._call(lambda: self.net.advance(seconds))

    def reset(self) -> None:
        """All hosts honest, listed and active again."""
        for host in self.hosts:
            self.cheat(host.name, "off")
            tee_id = bytes.fromhex(host.tee_id[2:])
            if not self.net.registry.is_active(host.tee_id):
                self.registry(host.name, "approve")
                if not self.net.registry.contract.read("isTEEEnabled", tee_id):
                    self.registry(host.name, "enable")
                self.registry(host.name, "heartbeat")
        self.set_settle_idle(100.0)


class ProcessSimnet:
    """The real background process, in the home folder of ``OPG_HOME``, through
    :mod:`opg_magic.network.simnet_client` alone."""

    def __init__(self) -> None:
        self.home = Path(os.environ["OPG_HOME"])

    def up(self, *flags: str) -> dict[str, Any]:
        """Start it with a fast model, unless it runs; the state."""
        simnet_client.command(["up", "--token-delay", "0", *flags])
        state = simnet_client.read_state()
        assert state is not None
        return state

    def end(self) -> None:
        """End it, whatever became of it."""
        with contextlib.suppress(Exception):
            simnet_client.down()


# ------------------------------------------------------------------------------------ a bare client


@dataclass
class Client:
    """A payer that speaks to one host over TLS pinned to its registered certificate, and does what
    the host asks."""

    simnet: RunningSimnet
    host: Host
    http: httpx.AsyncClient
    session: str | None = field(default=None, repr=False)
    headers: dict[str, str] = field(
        default_factory=lambda: {"Authorization": "Bearer x", "X-SETTLEMENT-TYPE": "private"}
    )

    async def unpaid(self, body: Any, path: str = CHAT_PATH) -> httpx.Response:
        return await self.http.post(path, json=body, headers=self.headers)

    async def terms(self, path: str = CHAT_PATH) -> models.PaymentTerms:
        """The terms that the host asks for, checked as the project checks them."""
        answer = await self.unpaid(
            {"model": "gpt-5", "messages": [{"role": "user", "content": "x"}]}, path
        )
        required = x402.parse_payment_required(answer.headers["PAYMENT-REQUIRED"])
        terms, _ = payment_terms.choose_terms(
            required, self.simnet.network, self.simnet.listed(self.host)
        )
        return terms

    def authorise(self, terms: models.PaymentTerms, **changes: Any) -> Authorisation:
        """An authorisation for the terms; ``changes`` are fields that shall differ."""
        from dataclasses import replace

        auth = x402.authorise(
            terms,
            self.simnet.network,
            self.simnet.payer,
            now=int(time.time()),
            nonce=secrets.randbits(256),
        )
        return replace(auth, **changes)

    def payment(
        self, terms: models.PaymentTerms, auth: Authorisation, key: Secret[bytes] | None = None
    ) -> str:
        """The header ``PAYMENT-SIGNATURE``, signed by the network's own payer or by ``key``."""
        from eth_account import Account

        data = x402.typed_data(auth, self.simnet.network)
        signed = Account.sign_typed_data(
            (key or self.simnet.wallet_key).reveal(), full_message=data
        )
        return x402.payment_header(auth, Secret("0x" + signed.signature.hex()), terms).reveal()

    async def pay(
        self, body: Any, path: str = CHAT_PATH, *, header: str | None = None
    ) -> httpx.Response:
        """A call with a payment of its own (or with a header given); the session that it opens is
        kept."""
        if header is None:
            terms = await self.terms(path)
            header = self.payment(terms, self.authorise(terms))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self.http.post(
            path,
            content=content,
            headers={
                **self.headers,
                "Content-Type": "application/json",
                "PAYMENT-SIGNATURE": header,
            },
        )
        self.session = answer.headers.get("X-Upto-Session", self.session)
        return answer

    async def ask(self, body: Any, path: str = CHAT_PATH) -> httpx.Response:
        """A call in the open session, or with a payment where there is none."""
        if self.session is None:
            return await self.pay(body, path)
        return await self.http.post(
            path, json=body, headers={**self.headers, "X-Upto-Session": self.session}
        )


@contextlib.asynccontextmanager
async def client(simnet: RunningSimnet, host: str = "anna") -> AsyncIterator[Client]:
    """A client of that host; it trusts exactly the certificate that the registry lists."""
    target = simnet.host(host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(
        cadata=ssl.DER_cert_to_PEM_cert(simnet.listed(target).tls_certificate)
    )
    async with httpx.AsyncClient(base_url=target.endpoint, verify=context, timeout=30) as http:
        yield Client(simnet, target, http)


def chat(text: str, **more: Any) -> dict[str, Any]:
    """A chat body as a client sends it."""
    return {
        "model": "gpt-5",
        "messages": [{"role": "user", "content": text}],
        "temperature": 0.0,
        **more,
    }
