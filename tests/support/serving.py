"""An endpoint for tests, and clients of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai
from support.simnet import RunningSimnet

from opg_magic.call.session import Session
from opg_magic.endpoint.listening import Endpoint
from opg_magic.receipt.document import Receipt
from opg_magic.simnet.host.conduct import Honest

TOKEN = "opg-a-token-of-the-tests-0123456789abcdef"


def behave(simnet: RunningSimnet, conduct: Honest, *, pause: float | None = None) -> None:
    """Let all hosts answer so, with ``pause`` seconds after each word (None: its own)."""
    if pause is not None:
        conduct.pause = pause  # type: ignore[misc]  # of this instance alone
    for host in simnet.hosts:
        host.cheat = conduct


@dataclass
class Served:
    """A running endpoint, and clients of it."""

    session: Session
    endpoint: Endpoint
    #: What was told of calls, one line each.
    told: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.endpoint.base_url

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.session.loop().loop).result(30)

    def client(self, **more: Any) -> openai.OpenAI:
        """The real client, as its users make it."""
        return openai.OpenAI(base_url=self.url, api_key=TOKEN, **more)

    def raw(self, **headers: str) -> httpx.Client:
        """A bare client with the token."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {TOKEN}", **headers},
            timeout=60,
            trust_env=False,
        )

    def receipts(self) -> list[Receipt]:
        """All receipts of the ledger, the oldest first."""
        return [self.session.ledger.get(name) for name in self.session.receipts()["id"]]

    def receipt(self) -> Receipt:
        """The only receipt there is."""
        (only,) = self.receipts()
        return only
