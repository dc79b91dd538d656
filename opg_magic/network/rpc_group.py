"""All RPCs of one chain, asked together: which answers count, and what they must agree on.

The registry, the settlement relay and the payment chain are read through this module alone.  An RPC
may be down, slow, behind, or lying.  One that gives no answer is left out.  One on the wrong chain
ends the question, because the settings are wrong.  Two that contradict each other end it too,
because nobody can tell which of them lies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from opg_magic.errors import NetworkUnavailable, RpcsDisagree, WrongChain
from opg_magic.models.proxy import Proxy
from opg_magic.network.rpc import Block, Rpc, RpcError

T = TypeVar("T")


class RpcGroup:
    """The RPCs of one chain.  Close it with :meth:`aclose`."""

    def __init__(
        self,
        urls: Iterable[str],
        *,
        timeout: float,
        failure: str,
        proxy: Proxy | None = None,
        hint: str | None = None,
    ) -> None:
        """``timeout``: seconds for one request.  ``failure`` begins the error that says that no RPC
        answered ("registry unreachable"); ``hint`` goes with it."""
        self.rpcs = tuple(Rpc(url, timeout=timeout, proxy=proxy) for url in urls)
        self._failure = failure
        self._hint = hint

    async def aclose(self) -> None:
        """Close the connections to the RPCs."""
        for rpc in self.rpcs:
            await rpc.aclose()

    async def ask_all(
        self,
        ask: Callable[[Rpc], Awaitable[T]],
        *,
        of: Iterable[Rpc] | None = None,
        every: bool = False,
        within: float | None = None,
    ) -> dict[Rpc, T]:
        """Ask the RPCs at once; return the answers of those that gave one, in their order.

        ``of``: the RPCs to ask, all of them unless given.  ``every``: each of them must answer.
        ``within``: seconds that one RPC has for all that ``ask`` wants of it.

        Raises :class:`NetworkUnavailable` with every reason if none answers, or not ``every`` one
        of them.  Any other error of one RPC, such as :class:`WrongChain`, is raised as it is."""
        asked = self.rpcs if of is None else tuple(of)
        results = await asyncio.gather(
            *(_within(rpc, ask, within) for rpc in asked), return_exceptions=True
        )
        answers: dict[Rpc, T] = {}
        reasons: list[str] = []
        for rpc, result in zip(asked, results, strict=True):
            if not isinstance(result, BaseException):
                answers[rpc] = result
            elif (reason := _reason(rpc, result)) is not None:
                reasons.append(reason)
            else:
                raise result
        if not answers or (every and reasons):
            raise self._unavailable(reasons)
        return answers

    async def ask_first(
        self, ask: Callable[[Rpc], Awaitable[T]], *, of: Iterable[Rpc] | None = None
    ) -> T:
        """Return the answer of the first RPC that gives one.  For what no second RPC could settle.

        Raises like :meth:`ask_all`."""
        reasons: list[str] = []
        for rpc in self.rpcs if of is None else of:
            try:
                return await ask(rpc)
            except (NetworkUnavailable, RpcError) as error:
                reason = _reason(rpc, error)
                if reason is None:
                    raise
                reasons.append(reason)
        raise self._unavailable(reasons)

    def _unavailable(self, reasons: list[str]) -> NetworkUnavailable:
        why = "; ".join(reasons) or "no RPC is configured"
        return NetworkUnavailable(f"{self._failure}: {why}", hint=self._hint)


def agreed(
    answers: Mapping[Rpc, T],
    subject: str,
    *,
    shown: Callable[[T], str] | None = None,
    hint: str | None = "One of them lies, or lacks a part of the chain.",
) -> T:
    """Return the one answer that all of these RPCs gave.

    ``subject`` names it in the error, where ``shown`` writes out what each of the two said.  Raises
    :class:`RpcsDisagree` at the first that differs; ValueError if there is no answer."""
    if not answers:
        raise ValueError("there is no answer to agree on")
    (first_rpc, first), *others = answers.items()
    for rpc, other in others:
        if other != first:
            said = f": {shown(first)} and {shown(other)}" if shown is not None else ""
            raise RpcsDisagree(
                f"RPCs {first_rpc.label} and {rpc.label} disagree on {subject}{said}", hint=hint
            )
    return first


async def checked_head(rpc: Rpc, chain_id: int, places: Mapping[str, str], *, needs: str) -> Block:
    """Return the newest block of an RPC that serves the right chain, with a contract at every
    place.  Arguments and errors as for :func:`check_contracts`."""
    _, block = await asyncio.gather(
        check_contracts(rpc, chain_id, places, needs=needs), rpc.block("latest")
    )
    return block


async def check_contracts(
    rpc: Rpc, chain_id: int, places: Mapping[str, str], *, needs: str
) -> None:
    """Make sure that this RPC serves the right chain, with a contract at every place.

    ``places``: addresses by the contract's name.  ``needs``: who needs which chain, in the error
    ("OpenGradient pays on").  Raises :class:`WrongChain` otherwise."""
    served, *codes = await asyncio.gather(
        rpc.chain_id(), *(rpc.code(address) for address in places.values())
    )
    if served != chain_id:
        raise WrongChain(
            f"RPC {rpc.label} serves chain {served}; {needs} chain {chain_id}",
            hint="Nothing was sent. Check the RPCs in your settings.",
        )
    for (name, address), code in zip(places.items(), codes, strict=True):
        if not code:
            raise WrongChain(
                f"RPC {rpc.label} has no contract at the {name}'s address {address}",
                hint="Nothing was sent. Check the RPCs and addresses in your settings.",
            )


async def _within(rpc: Rpc, ask: Callable[[Rpc], Awaitable[T]], seconds: float | None) -> T:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await ask(rpc)
    except TimeoutError:
        if not limit.expired():
            raise
        raise NetworkUnavailable(
            f"RPC {rpc.label} unreachable: no answer within {seconds:g} s"
        ) from None


def _reason(rpc: Rpc, error: BaseException) -> str | None:
    """Return why this RPC gave no answer; None if the error is of another kind."""
    if isinstance(error, RpcError):
        return f"RPC {rpc.label} answers with an error: {error}"
    if isinstance(error, NetworkUnavailable) and not isinstance(error, WrongChain):
        return error.message
    return None
