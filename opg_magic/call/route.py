"""The way to the hosts, as a call sees it: a directory, a channel to each, a means to pay.

:mod:`opg_magic.call.direct` is TLS to the host itself, paid by x402 from the user's wallet;
:mod:`opg_magic.call.private` seals to the host, and a relay carries and pays.  On a way where no
money moves, a payment has no cap, header or evidence, its cost is not known, and its charge is
always "none".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager as Context
from typing import TYPE_CHECKING, Protocol

from opg_magic.models import (
    ChannelEvidence,
    Charge,
    Cost,
    Host,
    Kind,
    Money,
    PaymentEvidence,
    Prompt,
    SealedEvidence,
)
from opg_magic.models.prompts import RouteName
from opg_magic.models.secret import Secret

if TYPE_CHECKING:
    from opg_magic.call.state import CallOptions, EngineSettings, ReadyHost, RunningCall
    from opg_magic.network.exchange import RawExchange
    from opg_magic.network.health import Health
    from opg_magic.network.registry import RegistrySnapshot


class Directory(Protocol):
    """Lists the hosts, with their keys.  Raises NetworkUnavailable."""

    async def snapshot(self) -> RegistrySnapshot: ...


class Channel(Protocol):
    """Reaches one host.  An OpgError from ``send``, unless it is CallFailed, means: nothing was
    sent."""

    def channel(self) -> ChannelEvidence | SealedEvidence: ...
    async def attestation(self, nonce: bytes) -> bytes | None: ...
    async def health(self) -> Health: ...
    async def send(
        self,
        path: str,
        body: bytes,
        *,
        headers: Mapping[str, str | Secret[str]],
        stream: bool,
        kind: Kind,
        on_text: Callable[[str, int], None] | None,
        timeout: float,
    ) -> RawExchange: ...


class Payment(Protocol):
    """Pays for one call: reserved against the limits, on disk, before the prompt is sent.

    ``seconds_left``: until the answer must have ended.  ``unsent`` gives the reservation back.
    ``accept`` is what counts of an exchange; ``secrets`` may stand in no receipt.  ``keep`` lets
    later calls use the payment if the host is ``usable``; ``drop`` lets none."""

    @property
    def cap(self) -> Money | None: ...
    @property
    def headers(self) -> Mapping[str, str | Secret[str]]: ...
    def seconds_left(self) -> float: ...
    def unsent(self, call: RunningCall, reason: str) -> None: ...
    def must_be_renewed(self, call: RunningCall, exchange: RawExchange) -> bool: ...
    def accept(self, call: RunningCall, exchange: RawExchange) -> RawExchange: ...
    def charge(self, exchange: RawExchange) -> Charge: ...
    def cost(self, call: RunningCall, exchange: RawExchange, charge: Charge) -> Cost: ...
    def evidence(self, cost: Cost) -> PaymentEvidence | None: ...
    def secrets(self, exchange: RawExchange) -> list[Secret[str]]: ...
    def keep(self, exchange: RawExchange, cost: Cost, *, usable: bool) -> None: ...
    def drop(self) -> None: ...


class Payments(Protocol):
    """Pays for the calls of one kernel.

    ``admit`` refuses a prompt that cannot go this way, before anything is sent.  ``timeout``:
    seconds that a call may take.  ``preference``: hosts with the lowest come first.  ``is_open``:
    whether the host has answered under a payment that this call would join; ``is_used_up``: whether
    a call beside so many that the host was given does better where a payment is open.
    ``quote``: the cap, and whether a payment that is open serves this call.  ``specimen``: evidence
    of the form that a payment leaves, of none.  Within ``turn`` a call reserves and is sent."""

    def admit(self, prompt: Prompt) -> None: ...
    def timeout(self, options: CallOptions, settings: EngineSettings) -> float: ...
    def preference(self, call: RunningCall, host: Host) -> int: ...
    def is_open(self, call: RunningCall, host: Host) -> bool: ...
    def is_used_up(self, call: RunningCall, ready: ReadyHost, given: int) -> bool: ...
    async def quote(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> tuple[Money | None, bool]: ...
    def specimen(self) -> PaymentEvidence | None: ...
    def turn(self, call: RunningCall, ready: ReadyHost) -> Context[None]: ...
    async def reserve(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> Payment: ...


class Route(Protocol):
    """One way to the hosts of a network."""

    @property
    def name(self) -> RouteName: ...
    @property
    def directory(self) -> Directory: ...
    @property
    def payments(self) -> Payments: ...
    def channel(self, host: Host) -> Channel: ...
    async def aclose(self) -> None: ...
