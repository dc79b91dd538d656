"""The private route: requests sealed to each host's own key, carried and paid for by a relay.

The caller needs a sign-in at the relay and no wallet.  The relay learns who asks which host, when
and how much; the host learns the prompt, and the relay's address in place of the caller's.  Who can
read the prompt rests on the key that the registry lists; the answer is judged by its signature, as
on the direct route."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager as Context
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.call.costs import prompt_tokens
from opg_magic.call.evidence import intent_of
from opg_magic.call.state import (
    CallOptions,
    CallSite,
    EngineSettings,
    ReadyHost,
    RunningCall,
    utc_now,
)
from opg_magic.models import Charge, Cost, Host, Kind, Prompt, SealedEvidence
from opg_magic.models.networks import Network
from opg_magic.models.prompts import RouteName
from opg_magic.models.secret import Secret
from opg_magic.network.health import Health
from opg_magic.network.ohttp_relay import AUTHORIZATION, RelayClient, bearer, key_of
from opg_magic.network.registry import RegistryReader
from opg_magic.network.transport import HostPool
from opg_magic.settings import sign_in
from opg_magic.settings.sign_in import SignIn

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.network.exchange import RawExchange

#: Tokens that an answer may have where the call sets no limit: what hosts allow then.
USUAL_TOKENS = 4096


class PrivateRoute:
    """Implements :class:`opg_magic.call.route.Route`.  All methods run on one event loop."""

    name: RouteName = "private"

    def __init__(
        self,
        network: Network,
        ledger: Ledger,
        *,
        signed_in: Callable[[], SignIn | None],
        asks_attestation: Callable[[], bool],
        call_site: Callable[[], CallSite],
    ) -> None:
        """``signed_in`` gives the current sign-in; ``asks_attestation``: whether a host itself is
        asked for its attestation."""
        self._network = network
        self._signed_in = signed_in
        self._asks_attestation = asks_attestation
        self.directory = RegistryReader(network)
        self.pool = HostPool(proxy=network.proxy)
        self._relays: dict[str, RelayClient] = {}
        self.payments = RelayedPayments(network, ledger, self.current, call_site)

    def current(self) -> tuple[SignIn, RelayClient]:
        """The sign-in as it is now, read once, and its relay.

        Raises SignInNeeded if there is none that can be used, ConfigError as :meth:`relay` does."""
        found = sign_in.usable(self._signed_in(), self._network)
        return found, self.relay(found)

    def relay(self, found: SignIn) -> RelayClient:
        """The relay of a sign-in.  The user's own setting must name no other: a token goes to its
        own relay alone.  Raises ConfigError."""
        known = self._relays.get(found.relay)
        if known is None:
            known = RelayClient(found.relay, proxy=self._network.proxy)
            self._relays[found.relay] = known
        wanted = self._network.private_relay
        if wanted is not None and RelayClient(wanted).base != known.base:
            raise errors.ConfigError(
                f"You are signed in at {known.label}; your settings name another relay "
                f"(private_relay). Nothing was sent.",
                hint="Sign in there, or clear the setting.",
            )
        return known

    def channel(self, host: Host) -> SealedChannel:
        """The way to one host.  Raises ChannelRefused if the registry lists no key that can be used
        for it."""
        key_of(host)
        return SealedChannel(self, host, asks_attestation=self._asks_attestation())

    async def aclose(self) -> None:
        """Close the connections."""
        relays, self._relays = list(self._relays.values()), {}
        await asyncio.gather(
            self.pool.aclose(),
            self.directory.aclose(),
            *(relay.aclose() for relay in relays),
            return_exceptions=True,
        )


class SealedChannel:
    """Implements :class:`opg_magic.call.route.Channel`: sealed to one host, through the relay."""

    def __init__(self, route: PrivateRoute, host: Host, *, asks_attestation: bool) -> None:
        self._route = route
        self._host = host
        self._asks_attestation = asks_attestation

    def channel(self) -> SealedEvidence:
        """How a request to the host is sealed.  Raises SignInNeeded, ConfigError."""
        _, relay = self._route.current()
        return relay.sealed(self._host)

    async def attestation(self, nonce: bytes) -> bytes | None:
        """The host's own attestation; None where it is not to be asked.

        The host sees this machine's address, and nothing of a prompt."""
        if not self._asks_attestation:
            return None
        return await self._route.pool.client(self._host).attestation(nonce)

    async def health(self) -> Health:
        """Nothing: the host is not asked, and no price matters here."""
        return Health(None, True, None, None, None, utc_now())

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
    ) -> RawExchange:
        """Seal, carry, and read the answer to its end.  Of ``path`` and ``headers`` nothing travels
        but the sign-in: the relay knows one place.

        Raises SignInNeeded, before anything is sent, if the call was reserved with another."""
        found, relay = self._route.current()
        if headers.get(AUTHORIZATION) != bearer(found.token):
            raise _changed()
        return await relay.send(
            self._host,
            body,
            token=found.token,
            stream=stream,
            kind=kind,
            on_text=on_text,
            timeout=timeout,
        )


class RelayedPayments:
    """Implements :class:`opg_magic.call.route.Payments` where no money of the user's moves: calls
    and tokens of a day are counted instead."""

    def __init__(
        self,
        network: Network,
        ledger: Ledger,
        current: Callable[[], tuple[SignIn, RelayClient]],
        call_site: Callable[[], CallSite],
    ) -> None:
        """``current`` gives the sign-in as it is now, and its relay."""
        self._network = network
        self._ledger = ledger
        self._current = current
        self._call_site = call_site

    def admit(self, prompt: Prompt) -> None:
        """Refuse what the relay does not carry.  Raises ConfigError, SignInNeeded."""
        if prompt.kind != "chat":
            raise errors.ConfigError(
                "The private route carries chat calls only. Nothing was sent.",
                hint="Use --route direct for a completion.",
            )
        if prompt.settle != "private":
            raise errors.ConfigError(
                f"--settle {prompt.settle} is not possible on the private route: a relay cannot "
                f"ask for it. Nothing was sent.",
                hint="Leave --settle out, or use --route direct.",
            )
        self._current()

    def timeout(self, options: CallOptions, settings: EngineSettings) -> float:
        """Seconds that a call may take: no payment sets an end."""
        return options.timeout if options.timeout is not None else settings.timeout

    def preference(self, call: RunningCall, host: Host) -> int:
        """No host comes before another."""
        return 0

    def is_open(self, call: RunningCall, host: Host) -> bool:
        """No call joins another's payment."""
        return False

    def is_used_up(self, call: RunningCall, ready: ReadyHost, given: int) -> bool:
        """There is nothing to use up."""
        return False

    async def quote(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> tuple[None, bool]:
        """No cap: the relay pays."""
        return None, False

    def specimen(self) -> None:
        """A call leaves no evidence of a payment."""

    def turn(self, call: RunningCall, ready: ReadyHost) -> Context[None]:
        """Calls need not wait for each other."""
        return contextlib.nullcontext()

    async def reserve(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> RelayedPayment:
        """Count the call, and the most tokens that it may use, against the day's limits, on disk.

        Raises LimitExceeded, SignInNeeded, ConfigError, LedgerError."""
        found, relay = self._current()
        if ready.sealed is None or ready.sealed.relay != relay.label:
            # The receipt would name a relay that did not carry the call.
            raise _changed()
        intent = intent_of(call, ready, self._network, self._call_site())
        tokens = prompt_tokens(call) + (call.prompt.max_tokens or USUAL_TOKENS)
        self._ledger.begin_relayed(intent, settings.relayed, tokens)
        return RelayedPayment(self._ledger, call.id, found.token)


def _changed() -> errors.SignInNeeded:
    return errors.SignInNeeded(
        "Your sign-in changed while the call was prepared. Nothing was sent.",
        hint="Run the cell again.",
    )


@dataclass(frozen=True, slots=True)
class RelayedPayment:
    """Implements :class:`opg_magic.call.route.Payment`: the relay pays, so there is no cap, no
    evidence, and never a charge."""

    ledger: Ledger
    call_id: str
    token: Secret[str]

    @property
    def cap(self) -> None:
        """Nothing can be charged."""
        return

    @property
    def headers(self) -> Mapping[str, str | Secret[str]]:
        """The sign-in with which the call was counted.  It goes to its relay alone."""
        return {AUTHORIZATION: bearer(self.token)}

    def seconds_left(self) -> float:
        """No payment sets an end."""
        return math.inf

    def unsent(self, call: RunningCall, reason: str) -> None:
        """Nothing was sent: the call and its tokens count no more.  Raises LedgerError."""
        self.ledger.record_unsent(call.id)
        self.ledger.record(call.id, "ended", {"charge": Charge.NONE.value, "reason": reason})

    def must_be_renewed(self, call: RunningCall, exchange: RawExchange) -> bool:
        """There is nothing to renew."""
        return False

    def accept(self, call: RunningCall, exchange: RawExchange) -> RawExchange:
        """The whole exchange counts."""
        return exchange

    def charge(self, exchange: RawExchange) -> Charge:
        """Nothing is charged to the caller."""
        return Charge.NONE

    def cost(self, call: RunningCall, exchange: RawExchange, charge: Charge) -> Cost:
        """What the relay pays is not known here."""
        return Cost(amount=None, cap=None, charge=Charge.NONE)

    def evidence(self, cost: Cost) -> None:
        """A receipt holds no payment."""

    def secrets(self, exchange: RawExchange) -> list[Secret[str]]:
        """What may stand in no receipt."""
        return [secret for secret in (self.token, exchange.session) if secret]

    def keep(self, exchange: RawExchange, cost: Cost, *, usable: bool) -> None:
        """Count the tokens that were used, where the host said how many; else the most that could
        be stays counted."""
        usage = exchange.response.usage or {}
        if {"prompt_tokens", "completion_tokens"} <= usage.keys():
            used = usage["prompt_tokens"] + usage["completion_tokens"]
            with contextlib.suppress(errors.LedgerError):
                self.ledger.record_tokens(self.call_id, used)

    def drop(self) -> None:
        """There is nothing to forget."""
