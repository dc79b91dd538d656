"""What the payment chain knows: balances, the allowance of Permit2, its clock, and what became of
an authorisation.

Source: protocol section 6 ("Settlement on Base", "Reconciliation"); verification, attacks 22 and
23."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeVar

from opg_magic.errors import NetworkUnavailable, RpcsDisagree, WalletError, WrongChain
from opg_magic.models import Authorisation, SettlementTx, format_units
from opg_magic.models.networks import Network
from opg_magic.network.abi import event_topic, function
from opg_magic.network.rpc import Block, Rpc, RpcError, first_block_since
from opg_magic.protocol.x402 import VALID_AFTER_MARGIN
from opg_magic.wallet.keys import Wallet

#: Clocks of chain and signer may differ by this many seconds when the blocks of a settlement are
#: looked for.
TIME_MARGIN = 120
#: Bounds of that search: blocks asked for at once, blocks in all, transactions looked into.
LOG_RANGE = 1000
MAX_BLOCKS = 20_000
MAX_CANDIDATES = 300
#: Places in one transaction at which a call is tried to be read.
MAX_BUNDLED = 200
#: Seconds between two looks for a transaction's receipt.
RECEIPT_INTERVAL = 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of an authorisation, as of block ``seen_at`` of the payment chain.

    ``open``: unspent, and its deadline not passed on the chain.  ``unspent``: past its deadline and
    never used, so that nothing can be charged any more.  ``spent``: used; then ``amount`` (base
    units), ``payee``, ``token``, ``tx_hash``, ``block_number``, ``block_hash`` and ``block_time``
    are of the transaction that did it, ``terms`` what its calldata says; None if it was not found.
    """

    status: Literal["open", "spent", "unspent"]
    amount: int | None = None
    tx_hash: str | None = None
    block_number: int | None = None
    block_time: datetime | None = None
    payee: str | None = None
    token: str | None = None
    seen_at: int | None = None
    rpcs: tuple[str, ...] = ()
    block_hash: str | None = None
    terms: Terms | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """A call of the proxy's ``settle`` as decoded: what was signed, and the ``amount`` that was
    asked for of it."""

    token: str
    cap: int
    nonce: int
    deadline: int
    amount: int
    payer: str
    pay_to: str
    facilitator: str
    valid_after: int

    def spends(self, auth: Authorisation) -> bool:
        """Whether it uses the same payer's same nonce."""
        return self.nonce == auth.nonce and self.payer == auth.payer.lower()

    def settles(self, auth: Authorisation) -> bool:
        """Whether it settles exactly what was authorised."""
        return (
            self.spends(auth)
            and self.token == auth.token.lower()
            and self.pay_to == auth.pay_to.lower()
            and self.facilitator == auth.facilitator.lower()
            and (self.cap, self.deadline, self.valid_after)
            == (auth.cap, auth.deadline, auth.valid_after)
        )


@dataclass(frozen=True, slots=True)
class Approval:
    """A mined ERC-20 approval of Permit2."""

    tx_hash: str
    block_number: int
    allowance: int


#: Whether a call is the one that is looked for.
Fits = Callable[[Terms, Authorisation], bool]


class PaymentChain:
    """Reads one network's payment chain; spends only in :meth:`approve`.  Close it with
    :meth:`aclose`."""

    def __init__(self, network: Network, *, timeout: float = 10.0) -> None:
        """``timeout``: seconds for one RPC request."""
        self._network = network
        self._timeout = timeout
        self._rpcs = [
            Rpc(url, timeout=timeout, proxy=network.proxy) for url in network.payment_rpcs
        ]
        self._checked: set[Rpc] = set()

    async def aclose(self) -> None:
        for rpc in self._rpcs:
            await rpc.aclose()

    async def check(self) -> None:
        """Every RPC that answers serves the right chain, with token, Permit2 and proxy in their
        places.

        Raises :class:`WrongChain` otherwise, :class:`NetworkUnavailable` if none answers.
        """
        self._checked.clear()
        await self._all(self._check)

    async def clock(self) -> datetime:
        """The time of the newest block (aware UTC)."""
        return (await self._first(lambda rpc: rpc.block("latest"))).time

    async def balance(self, address: str) -> int:
        """The token balance of ``address`` in base units."""
        return await self._first(
            lambda rpc: self._read(rpc, "erc20", "balanceOf", self._network.token.address, address)
        )

    async def allowance(self, address: str) -> int:
        """How much of the token Permit2 may draw from ``address``, in base units."""
        token, permit2 = self._network.token.address, self._network.permit2
        return await self._first(
            lambda rpc: self._read(rpc, "erc20", "allowance", token, address, permit2)
        )

    async def gas_balance(self, address: str) -> int:
        """Native coin of ``address`` in wei: an approval costs some, a call costs none."""
        return await self._first(
            lambda rpc: self._quantity(rpc, "eth_getBalance", [address, "latest"])
        )

    # -------------------------------------------------------------------------------------- approve

    async def approve(self, wallet: Wallet, amount: int, *, timeout: float = 120.0) -> Approval:
        """Let Permit2 draw exactly ``amount`` base units of the token, and wait until that is
        mined.

        This sends a transaction and costs gas.  Raises :class:`WalletError` if it cannot be paid
        for, is reverted, or is not mined within ``timeout`` seconds (then it may still be)."""

        async def itself(rpc: Rpc) -> Rpc:
            return rpc

        # One RPC for all of it: going on to the next after a transaction was sent would send a
        # second one.
        return await self._approve(await self._first(itself), wallet, amount, timeout)

    async def _approve(self, rpc: Rpc, wallet: Wallet, amount: int, timeout: float) -> Approval:
        network = self._network
        call = {
            "from": wallet.address,
            "to": network.token.address,
            "data": "0x" + function("erc20", "approve").encode(network.permit2, amount).hex(),
        }
        try:
            nonce, gas, price, tip, coin = await asyncio.gather(
                self._quantity(rpc, "eth_getTransactionCount", [wallet.address, "pending"]),
                self._quantity(rpc, "eth_estimateGas", [call]),
                self._quantity(rpc, "eth_gasPrice", []),
                self._quantity(rpc, "eth_maxPriorityFeePerGas", []),
                self._quantity(rpc, "eth_getBalance", [wallet.address, "latest"]),
            )
            gas = gas * 6 // 5
            # Twice the price of now: the base fee may rise for some blocks until the transaction is
            # mined.
            fee = 2 * price + tip
            if coin < gas * price:
                raise WalletError(
                    f"the approval costs about {format_units(gas * price, 18)} of the chain's coin "
                    f"for gas;"
                    f" {wallet.address} has {format_units(coin, 18)}"
                )
            fee = min(fee, coin // gas)
            raw = wallet.sign_approval(
                network,
                amount=amount,
                nonce=nonce,
                gas=gas,
                max_fee=fee,
                max_priority_fee=min(tip, fee),
            )
            tx_hash = rpc.hash(await rpc.call("eth_sendRawTransaction", ["0x" + raw.hex()]))
        except RpcError as error:
            raise WalletError(f"the approval was refused by the chain: {error}") from None
        receipt = await self._mined(rpc, tx_hash, timeout)
        if rpc.quantity(receipt.get("status")) != 1:
            raise WalletError(f"the approval {tx_hash} was reverted")
        allowance = await self._read(
            rpc, "erc20", "allowance", network.token.address, wallet.address, network.permit2
        )
        return Approval(tx_hash, rpc.quantity(receipt.get("blockNumber")), allowance)

    async def _mined(self, rpc: Rpc, tx_hash: str, timeout: float) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(timeout):
                while True:
                    receipt = await rpc.call("eth_getTransactionReceipt", [tx_hash])
                    if isinstance(receipt, Mapping):
                        return receipt
                    await asyncio.sleep(
                        RECEIPT_INTERVAL
                    )  # a chain tells nothing by itself over HTTP
        except TimeoutError:
            raise WalletError(
                f"the approval {tx_hash} was sent and is not mined after {timeout:g} s",
                hint="It may still be mined: look again with `opg wallet show`.",
            ) from None

    # ----------------------------------------------------------------------------------- settlement

    async def find_settlement(self, auth: Authorisation) -> Settlement:
        """What became of ``auth``, by its Permit2 nonce (reconciliation, protocol section 6).

        A transaction that spent the nonce under other terms than those of ``auth`` does not count
        as found.  With several RPCs, all that answer must agree.  Raises :class:`RpcsDisagree`,
        :class:`WrongChain`, :class:`NetworkUnavailable`."""
        return await self._find(auth, Terms.settles)

    async def payment_evidence(self, auth: Authorisation) -> SettlementTx:
        """What the chain shows of ``auth``, to be judged (verification, claim ``payment``; attack
        23).

        A transaction that spent the nonce under other terms is found, too: its figures are its own,
        not those that were signed.  ``shared`` and ``remainder`` are left to the caller, who knows
        the session's calls.  Raises like :meth:`find_settlement`."""
        from opg_magic.protocol.x402 import checksum_address

        found = await self._find(auth, Terms.spends)
        terms = found.terms
        return SettlementTx(
            status=found.status,
            chain_id=self._network.payment_chain_id,
            tx_hash=found.tx_hash,
            block_number=found.block_number,
            block_hash=found.block_hash,
            block_time=found.block_time,
            token=found.token,
            payer=checksum_address(terms.payer) if terms else None,
            payee=found.payee,
            facilitator=checksum_address(terms.facilitator) if terms else None,
            amount=found.amount,
            cap=terms.cap if terms else None,
            nonce=terms.nonce if terms else None,
            seen_at_block=found.seen_at,
            rpcs=found.rpcs,
        )

    async def _find(self, auth: Authorisation, fits: Fits) -> Settlement:
        if auth.chain_id != self._network.payment_chain_id:
            raise WrongChain(
                f"the authorisation is for chain {auth.chain_id}; {self._network.title} pays on "
                f"chain"
                f" {self._network.payment_chain_id}"
            )

        async def one(rpc: Rpc) -> tuple[str, Settlement]:
            return rpc.label, await self._settlement(rpc, auth, fits)

        found = await self._all(one)
        labels = tuple(label for label, _ in found)
        seen = {settlement.status for _, settlement in found}
        if {"spent", "unspent"} <= seen:
            raise RpcsDisagree(
                f"RPCs {', '.join(labels)} disagree on whether the authorisation was spent"
            )
        # One RPC may be a few blocks behind another: then it is not over yet.
        status = "open" if "open" in seen else seen.pop()
        settlements = [s for _, s in found if s.status == status]
        located = [s for s in settlements if s.amount is not None]
        if (
            len({(s.amount, s.tx_hash, s.payee, s.token, s.block_hash, s.terms) for s in located})
            > 1
        ):
            raise RpcsDisagree(
                f"RPCs {', '.join(labels)} disagree on the transaction that settled the "
                f"authorisation"
            )
        best = (located or settlements)[0]
        return replace(best, rpcs=labels)

    async def _settlement(self, rpc: Rpc, auth: Authorisation, fits: Fits) -> Settlement:
        head = await rpc.block("latest")
        bitmap = await self._read(
            rpc,
            "permit2",
            "nonceBitmap",
            self._network.permit2,
            auth.payer,
            auth.nonce >> 8,
            block=head.number,
        )
        if not bitmap >> (auth.nonce & 0xFF) & 1:
            # Permit2 accepts a signature up to and including its deadline.
            past = head.timestamp > auth.deadline
            return Settlement("unspent" if past else "open", seen_at=head.number)
        spent = await self._spending_transaction(rpc, auth, fits, head)
        return spent or Settlement("spent", seen_at=head.number)

    async def _spending_transaction(
        self, rpc: Rpc, auth: Authorisation, fits: Fits, head: Block
    ) -> Settlement | None:
        signed_at = auth.valid_after + VALID_AFTER_MARGIN
        first = await first_block_since(rpc, signed_at - TIME_MARGIN, head)
        last = head
        if head.timestamp > auth.deadline + TIME_MARGIN:
            last = await first_block_since(rpc, auth.deadline + TIME_MARGIN, head)
        for candidates in (self._transfers, self._settled):
            hashes = await candidates(rpc, auth, first.number, last.number)
            for tx_hash in hashes:
                found = await self._examined(rpc, auth, fits, tx_hash, head)
                if found is not None:
                    return found
        return None

    async def _transfers(self, rpc: Rpc, auth: Authorisation, first: int, last: int) -> list[str]:
        """Transactions that moved tokens of the payer, to whomever: a wrong payee is to be seen,
        too."""
        topics = [event_topic("erc20", "Transfer"), "0x" + auth.payer[2:].lower().rjust(64, "0")]
        return await self._hashes(
            rpc, {"address": self._network.token.address, "topics": topics}, first, last
        )

    async def _settled(self, rpc: Rpc, auth: Authorisation, first: int, last: int) -> list[str]:
        """All settlements through the proxy: for one that moved nothing, or another token."""
        topics = [event_topic("upto_proxy", "Settled")]
        return await self._hashes(
            rpc, {"address": self._network.upto_proxy, "topics": topics}, first, last
        )

    async def _hashes(
        self, rpc: Rpc, wanted: Mapping[str, Any], first: int, last: int
    ) -> list[str]:
        hashes: dict[str, None] = {}
        for start in range(first, min(last, first + MAX_BLOCKS - 1) + 1, LOG_RANGE):
            bounds = {"fromBlock": hex(start), "toBlock": hex(min(start + LOG_RANGE - 1, last))}
            logs = await rpc.call("eth_getLogs", [{**wanted, **bounds}])
            if not isinstance(logs, list):
                raise NetworkUnavailable(
                    f"RPC {rpc.label} answered with something that is no list of logs"
                )
            for log in logs:
                if isinstance(log, Mapping):
                    hashes[rpc.hash(log.get("transactionHash"))] = None
                if len(hashes) >= MAX_CANDIDATES:
                    return list(hashes)
        return list(hashes)

    async def _examined(
        self, rpc: Rpc, auth: Authorisation, fits: Fits, tx_hash: str, head: Block
    ) -> Settlement | None:
        """The settlement in this transaction, if its calldata fits the authorisation."""
        transaction, receipt = await asyncio.gather(
            rpc.call("eth_getTransactionByHash", [tx_hash]),
            rpc.call("eth_getTransactionReceipt", [tx_hash]),
        )
        if not isinstance(transaction, Mapping) or not isinstance(receipt, Mapping):
            return None
        if rpc.quantity(receipt.get("status")) != 1:
            return None
        calls = settle_calls(rpc.data(transaction.get("input")))
        # Exactly what was signed goes before what merely has its nonce: a facilitator may bundle
        # calls.
        terms = next((t for t in calls if t.settles(auth)), None) or next(
            (t for t in calls if fits(t, auth)), None
        )
        if terms is None:
            return None
        number = rpc.quantity(receipt.get("blockNumber"))
        if number > head.number:
            return None
        token, payee, amount = _moved(receipt.get("logs"), auth, terms.amount)
        block = await rpc.block(number)
        if block.hash != rpc.hash(receipt.get("blockHash")):
            raise NetworkUnavailable(
                f"RPC {rpc.label} replaced block {number} while it was being read"
            )
        return Settlement(
            "spent",
            amount,
            tx_hash,
            number,
            block.time,
            payee,
            token,
            head.number,
            block_hash=block.hash,
            terms=terms,
        )

    # ------------------------------------------------------------------------------------ questions

    async def _check(self, rpc: Rpc) -> None:
        if rpc in self._checked:
            return
        network = self._network
        places = {
            "token": network.token.address,
            "Permit2": network.permit2,
            "upto proxy": network.upto_proxy,
        }
        chain_id, *codes = await asyncio.gather(
            rpc.chain_id(), *(rpc.code(address) for address in places.values())
        )
        if chain_id != network.payment_chain_id:
            raise WrongChain(
                f"RPC {rpc.label} serves chain {chain_id}; {network.title} pays on chain "
                f"{network.payment_chain_id}",
                hint="Nothing was sent. Check the RPCs in your settings.",
            )
        for (name, address), code in zip(places.items(), codes, strict=True):
            if not code:
                raise WrongChain(
                    f"RPC {rpc.label} has no contract at the {name}'s address {address}"
                )
        self._checked.add(rpc)

    async def _first(self, ask: Callable[[Rpc], Awaitable[T]]) -> T:
        """The answer of the first RPC that gives one, on the right chain."""
        bad: list[str] = []
        for rpc in self._rpcs:
            try:
                await self._check(rpc)
                return await ask(rpc)
            except WrongChain:
                raise
            except NetworkUnavailable as error:
                bad.append(error.message)
            except RpcError as error:
                bad.append(f"RPC {rpc.label} answers with an error: {error}")
        raise NetworkUnavailable(
            f"payment chain unreachable: {'; '.join(bad) or 'no RPC is configured'}"
        )

    async def _all(self, ask: Callable[[Rpc], Awaitable[T]]) -> list[T]:
        """The answers of all RPCs that give one."""

        async def one(rpc: Rpc) -> T:
            await self._check(rpc)
            return await ask(rpc)

        results = await asyncio.gather(*(one(rpc) for rpc in self._rpcs), return_exceptions=True)
        good: list[T] = []
        bad: list[str] = []
        for rpc, result in zip(self._rpcs, results, strict=True):
            if isinstance(result, RpcError):
                bad.append(f"RPC {rpc.label} answers with an error: {result}")
            elif isinstance(result, NetworkUnavailable) and not isinstance(result, WrongChain):
                bad.append(result.message)
            elif isinstance(result, BaseException):
                raise result
            else:
                good.append(result)
        if not good:
            raise NetworkUnavailable(
                f"payment chain unreachable: {'; '.join(bad) or 'no RPC is configured'}"
            )
        return good

    async def _read(
        self,
        rpc: Rpc,
        contract: str,
        name: str,
        address: str,
        *args: Any,
        block: int | str = "latest",
    ) -> int:
        ask = function(contract, name)
        try:
            return int(ask.decode(await rpc.eth_call(address, ask.encode(*args), block))[0])
        except ValueError as error:
            raise NetworkUnavailable(f"RPC {rpc.label}: {error}") from None

    async def _quantity(self, rpc: Rpc, method: str, params: Sequence[Any]) -> int:
        return rpc.quantity(await rpc.call(method, params))


def settle_calls(calldata: bytes) -> list[Terms]:
    """The calls of the proxy's ``settle`` in a transaction's calldata, by itself or inside another
    call (bounded)."""
    settle = function("upto_proxy", "settle")
    found: list[Terms] = []
    start = calldata.find(settle.selector)
    for _ in range(MAX_BUNDLED):
        if start < 0:
            break
        try:
            permit, amount, owner, witness, _ = settle.decode_input(calldata[start:])
        except ValueError:
            pass
        else:
            (token, cap), nonce, deadline = permit
            to, facilitator, valid_after = witness
            addresses = (token.lower(), owner.lower(), to.lower(), facilitator.lower())
            found.append(
                Terms(
                    token=addresses[0],
                    cap=cap,
                    nonce=nonce,
                    deadline=deadline,
                    amount=amount,
                    payer=addresses[1],
                    pay_to=addresses[2],
                    facilitator=addresses[3],
                    valid_after=valid_after,
                )
            )
        start = calldata.find(settle.selector, start + 1)
    return found


def _moved(
    logs: object, auth: Authorisation, asked: int
) -> tuple[str | None, str | None, int | None]:
    """Token, payee and amount of the transfer from the payer in a receipt, that of ``asked`` before
    any other.

    The log is what happened; the calldata only what was asked for.
    """
    from opg_magic.protocol.x402 import checksum_address

    found: list[tuple[str, str, int]] = []
    topic, payer = event_topic("erc20", "Transfer"), auth.payer[2:].lower().rjust(64, "0")
    for log in logs if isinstance(logs, list) else []:
        if not isinstance(log, Mapping):
            continue
        topics, data, address = log.get("topics"), log.get("data"), log.get("address")
        if (
            not isinstance(topics, list)
            or len(topics) != 3
            or not all(isinstance(t, str) for t in topics)
        ):
            continue
        if topics[0].lower() != topic or topics[1].lower() != "0x" + payer:
            continue
        try:
            value = int(str(data), 16) if len(str(data)) == 66 else None
            payee, token = checksum_address("0x" + topics[2][-40:]), checksum_address(str(address))
        except ValueError:
            continue
        if value is not None:
            found.append((token, payee, value))
    found.sort(
        key=lambda t: (
            t[0].lower() != auth.token.lower(),
            t[1].lower() != auth.pay_to.lower(),
            t[2] != asked,
        )
    )
    return found[0] if found else (None, None, 0 if asked == 0 else None)
