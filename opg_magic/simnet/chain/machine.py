"""The chain at work: it executes and mines, keeps what was mined, and follows the block clock.

Every transaction is mined at once, in a block of its own, at the time it arrives.

**The block clock.**  A real chain makes a block every two seconds whether or not anyone pays.  Here
nothing runs in the background: when a request looks at the newest state (``latest`` and its like,
``eth_blockNumber``) and the newest block is older than :data:`BLOCK_SECONDS`, an empty block with
the current time is mined first.  So whoever looks sees a chain that is alive; whoever asks after a
deadline sees a block past it; and an idle chain costs nothing.  A block pinned by number or hash
never moves.  Blocks may share a second (several transactions may come in one), but time never runs
backwards, even when the machine's clock does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opg_magic.errors import SimnetError
from opg_magic.simnet.chain.errors import RpcError, invalid_params, raise_if_reverted
from opg_magic.simnet.chain.evm import GAS_LIMIT, NOBODY, new_chain
from opg_magic.simnet.chain.shown import block_json, receipt_json, transaction_json
from opg_magic.simnet.chain.values import hash32, quantity, to_hex

if TYPE_CHECKING:
    from eth.abc import (
        BlockHeaderAPI,
        ComputationAPI,
        SignedTransactionAPI,
        VirtualMachineAPI,
    )

#: An idle chain's newest block is at most this old when looked at (Base makes one every two
#: seconds).
BLOCK_SECONDS = 2

#: How long a request waits for another to end before it is told that the chain is busy.
LOCK_SECONDS = 30.0

#: How many outcomes of calls are remembered at most.
REMEMBERED = 256

_NEWEST = ("latest", "pending", "safe", "finalized")


class Machine:
    """An EVM with its state and its past, held in memory.

    ``now`` gives the time in Unix seconds, ``gas_limit`` the most that one call may use.  Every
    method but :meth:`locked` expects the lock to be held."""

    def __init__(self, chain_id: int, *, now: Callable[[], float], roots: Iterable[str]) -> None:
        self.chain_id = chain_id
        self.now = now
        self.gas_limit = GAS_LIMIT
        self._lock = threading.RLock()
        self._chain = new_chain(chain_id, int(now()), frozenset(roots))
        self.head: BlockHeaderAPI = self._chain.get_canonical_head()
        # Everything mined, ready to be shown: a chain of this size is looked at far more often than
        # written to.
        self.headers: list[BlockHeaderAPI] = [self.head]
        self.transactions: dict[str, dict[str, Any]] = {}
        self.receipts: dict[str, dict[str, Any]] = {}
        #: Every log with the number of its block, in order.
        self.logs: list[tuple[int, dict[str, Any]]] = []
        self._blocks = [block_json(self._chain.get_canonical_block_by_number(0), [])]
        self._number_of: dict[str, int] = {self._blocks[0]["hash"]: 0}
        self._outcomes: dict[tuple[Any, ...], ComputationAPI] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the chain while it lasts.  Raises SimnetError if it stays busy for
        :data:`LOCK_SECONDS`."""
        if not self._lock.acquire(timeout=LOCK_SECONDS):
            raise SimnetError("the chain is busy")
        try:
            yield
        finally:
            self._lock.release()

    # -------------------------------------------------------------------------------------- looking

    def tick(self) -> None:
        """Mine an empty block if the newest is too old: see the block clock."""
        if int(self.now()) - self.head.timestamp >= BLOCK_SECONDS:
            with self._pending():
                self._seal([])

    def vm(self, header: BlockHeaderAPI) -> VirtualMachineAPI:
        """The EVM on the state after a block."""
        return self._chain.get_vm(at_header=header)

    def next_base_fee(self) -> int:
        """Wei for a unit of gas in the next block."""
        return int(self._chain.header.base_fee_per_gas)

    def header(self, selector: Any) -> BlockHeaderAPI:
        """The block that a selector names: a tag, a number, or an object (EIP-1898).  Raises
        RpcError if there is none."""
        if isinstance(selector, dict):
            if selector.get("blockHash") is not None:
                found = self.number_of(hash32(selector["blockHash"]))
                if found is None:
                    raise RpcError(-32000, "header not found")
                return self.headers[found]
            selector = selector.get("blockNumber")
        if selector is None or selector in _NEWEST:
            self.tick()
            return self.head
        number = 0 if selector == "earliest" else quantity(selector)
        if number >= len(self.headers):
            raise RpcError(-32000, "header not found")
        return self.headers[number]

    def number_of(self, block_hash: str) -> int | None:
        """The number of the block with that hash (lower-case 0x-hex)."""
        return self._number_of.get(block_hash)

    def block(self, number: int, *, full: bool) -> dict[str, Any]:
        """A block as JSON-RPC shows it; ``full`` with whole transactions in place of hashes."""
        block = self._blocks[number]
        if full and block["transactions"]:
            return block | {"transactions": [self.transactions[h] for h in block["transactions"]]}
        return block

    # -------------------------------------------------------------------------------------- working

    def execute(
        self, sender: bytes, to: bytes, data: bytes, value: int, gas: int, header: BlockHeaderAPI
    ) -> ComputationAPI:
        """Run one message on the state after ``header``, in that block's own context; nothing of
        it stays in the chain.

        Many clients ask the same of one block, and the EVM is slow Python: what a message comes to
        is remembered.  It follows from the message and the block's hash alone."""
        asked = (header.hash, sender, to, data, value, gas)
        if asked not in self._outcomes:
            if len(self._outcomes) >= REMEMBERED:
                self._outcomes.clear()
            self._outcomes[asked] = self._run(sender, to, data, value, gas, header)
        return self._outcomes[asked]

    def _run(
        self, sender: bytes, to: bytes, data: bytes, value: int, gas: int, header: BlockHeaderAPI
    ) -> ComputationAPI:
        from eth.vm.message import Message

        state = self.vm(header).state
        if to == b"":
            raise invalid_params("creating contracts by a call is not supported")
        message = Message(
            gas=gas, to=to, sender=sender, value=value, data=data, code=state.get_code(to)
        )
        context = state.get_transaction_context_class()(gas_price=0, origin=sender)
        if value and state.get_balance(sender) < value:
            raise RpcError(-32000, "insufficient funds for transfer")
        return state.computation_class.apply_message(state, message, context)

    def estimate(
        self, sender: bytes, to: bytes, data: bytes, value: int, header: BlockHeaderAPI
    ) -> int:
        """Gas that suffices for a transaction on this state.  Raises Reverted if none does.

        What was used says too little: refunds come after the end, and inner calls get 63/64 of what
        is left (EIP-150).  The measured sum with a margin for both is tried, and doubled until it
        suffices."""
        intrinsic = 21_000 + sum(16 if byte else 4 for byte in data)

        def run(gas: int) -> ComputationAPI:
            return self.execute(sender, to, data, value, gas - intrinsic, header)

        first = run(self.gas_limit)
        raise_if_reverted(first)
        gas = intrinsic + int(first.get_gas_used() + first.get_gas_refund()) * 9 // 8
        while gas > intrinsic and run(gas).is_error:
            gas = min(2 * gas, self.gas_limit)
        return gas

    def mine(self, raw: bytes) -> str:
        """Check, execute and mine one signed transaction; its hash.  Raises RpcError if it is not
        taken."""
        from eth.exceptions import PyEVMError
        from eth_utils.exceptions import ValidationError
        from rlp.exceptions import RLPException  # type: ignore[import-untyped]

        try:
            transaction = self.vm(self.head).get_transaction_builder().decode(raw)
        except (
            RLPException,
            ValidationError,
            PyEVMError,
            ValueError,
            TypeError,
            IndexError,
        ) as error:
            raise invalid_params("not a signed transaction") from error
        if not transaction.is_signature_valid:
            raise RpcError(-32000, "invalid signature")
        if transaction.chain_id != self.chain_id:
            raise RpcError(-32000, f"invalid chain id: this is chain {self.chain_id}")
        if transaction.gas > self.gas_limit:
            raise RpcError(-32000, "exceeds block gas limit")
        with self._pending():
            try:
                _, receipt, computation = self._chain.apply_transaction(transaction)
            except (ValidationError, PyEVMError) as error:
                raise RpcError(-32000, self._rejection(transaction, error)) from error
            self._seal([(transaction, receipt, computation)])
        return to_hex(transaction.hash)

    @contextmanager
    def edited_state(self) -> Iterator[Any]:
        """Change the state outside any transaction, as a genesis does; the outcome is mined."""
        with self._pending():
            state = self.vm(self._chain.header).state
            yield state
            state.persist()
            self._chain.header = self._chain.header.copy(state_root=state.state_root)
            self._seal([])

    # --------------------------------------------------------------------------------------- inside

    @contextmanager
    def _pending(self) -> Iterator[None]:
        """A next block that begins now; what fails within leaves no trace in it."""
        before = self._chain.header
        self._chain.set_header_timestamp(max(int(self.now()), self.head.timestamp))
        try:
            yield
        except BaseException:
            self._chain.header = before
            raise

    def _rejection(self, transaction: SignedTransactionAPI, error: Exception) -> str:
        """Why a transaction is not taken, in the words that tools of the field look for."""
        state = self.vm(self.head).state
        nonce = state.get_nonce(transaction.sender)
        if transaction.nonce != nonce:
            return f"nonce too {'low' if transaction.nonce < nonce else 'high'}: next nonce {nonce}"
        if (
            state.get_balance(transaction.sender)
            < transaction.gas * transaction.max_fee_per_gas + transaction.value
        ):
            return "insufficient funds for gas * price + value"
        return str(error)

    def _seal(self, mined: Sequence[tuple[SignedTransactionAPI, Any, ComputationAPI]]) -> None:
        block = self._chain.mine_block(coinbase=NOBODY)
        self.head = block.header
        shown = block_json(block, ["0x" + transaction.hash.hex() for transaction, _, _ in mined])
        for index, (transaction, receipt, computation) in enumerate(mined):
            receipt_shown = receipt_json(shown, block, index, transaction, receipt, computation)
            name = receipt_shown["transactionHash"]
            self.transactions[name] = transaction_json(shown, block, index, transaction)
            self.receipts[name] = receipt_shown
            self.logs += [(block.number, log) for log in receipt_shown["logs"]]
        self.headers.append(block.header)
        self._blocks.append(shown)
        self._number_of[shown["hash"]] = block.number
