"""One chain of the simulated network: py-evm in this process behind the Ethereum JSON-RPC methods
that wallets, web3.py and the official SDK use.

Every transaction is mined at once, in a block of its own, at the time it arrives.

**The block clock.**  A real chain makes a block every two seconds whether or not anyone pays.  Here
nothing runs in the background: when a request looks at the newest state (``latest`` and its like,
``eth_blockNumber``) and the newest block is older than :data:`BLOCK_SECONDS`, an empty block with
the current time is mined first.  So whoever looks sees a chain that is alive; whoever asks after a
deadline sees a block past it; and an idle chain costs nothing.  What is pinned to a block by number
or hash is never moved by it.  Blocks may share a second (several transactions may come in one), but
time never runs backwards, even when the machine's clock does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

from opg_magic.errors import SimnetError
from opg_magic.models.secret import Secret

if TYPE_CHECKING:
    from eth.abc import (
        BlockAPI,
        BlockHeaderAPI,
        ComputationAPI,
        SignedTransactionAPI,
        VirtualMachineAPI,
    )
    from hexbytes import HexBytes
    from web3 import Web3

#: An idle chain's newest block is at most this old when looked at (Base makes one every two
#: seconds).
BLOCK_SECONDS = 2

#: Gas of one block, and the most that one call may use: bounds how long one request can take.
GAS_LIMIT = 30_000_000

#: How long a request waits for another to end before it is told that the chain is busy.
LOCK_SECONDS = 30.0

PRIORITY_FEE = 10**8

_ZERO = bytes(20)
_NEWEST = ("latest", "pending", "safe", "finalized")


class Receipt(TypedDict):
    """A mined transaction's outcome, with web3.py's names and types.  ``status`` 1: done, 0:
    reverted.

    Each of ``logs`` has ``address`` (str), ``topics`` (list of HexBytes), ``data`` (HexBytes) and
    ``logIndex``."""

    transactionHash: HexBytes
    blockNumber: int
    blockHash: HexBytes
    status: int
    gasUsed: int
    logs: list[dict[str, Any]]


class Reverted(SimnetError):
    """A contract refused.  ``reason`` is the text given with it or None, ``data`` the raw revert
    data."""

    def __init__(self, reason: str | None, data: bytes) -> None:
        super().__init__(f"execution reverted: {reason}" if reason else "execution reverted")
        self.reason = reason
        self.data = data


class RpcError(Exception):
    """An answer of the JSON-RPC kind ``error``: code (EIP-1474), message and data."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def as_dict(self) -> dict[str, Any]:
        error = {"code": self.code, "message": self.message}
        return error if self.data is None else error | {"data": self.data}


def _invalid_params(message: str) -> RpcError:
    return RpcError(-32602, message)


class Chain:
    """An EVM chain (Shanghai rules) with its own state, held in memory.

    ``now`` gives the time in Unix seconds (tests move it).  ``attestation_roots`` are the SHA-256
    fingerprints of the roots that the precompile at 0x…0900 accepts.  All methods may be called
    from any thread; one request runs at a time, and none can run longer than :data:`GAS_LIMIT`
    allows."""

    def __init__(
        self,
        chain_id: int,
        *,
        now: Callable[[], float] = time.time,
        attestation_roots: Iterable[str] = (),
    ) -> None:
        self.chain_id = chain_id
        self._now = now
        self._lock = threading.RLock()
        self._chain = _new_chain(chain_id, int(now()), frozenset(attestation_roots))
        self._head: BlockHeaderAPI = self._chain.get_canonical_head()
        # Everything mined, ready to be shown: a chain of this size is looked at far more often than
        # written to.
        self._blocks: list[dict[str, Any]] = [
            _block_json(self._chain.get_canonical_block_by_number(0), [])
        ]
        self._headers: list[BlockHeaderAPI] = [self._head]
        self._number_of: dict[str, int] = {self._blocks[0]["hash"]: 0}
        self._transactions: dict[str, dict[str, Any]] = {}
        self._receipts: dict[str, dict[str, Any]] = {}
        self._logs: list[tuple[int, dict[str, Any]]] = []

    # ---------------------------------------------------------------------------------- from Python

    def put_code(
        self, address: str, runtime_bytecode: bytes, storage: Mapping[int, int] | None = None
    ) -> None:
        """Places a contract at a fixed address, without a deploying transaction, and mines a block
        with it."""
        from eth_utils.address import to_canonical_address

        account = to_canonical_address(address)
        with self._locked(), self._edited_state() as state:
            state.set_code(account, runtime_bytecode)
            state.set_nonce(account, 1)
            for slot, value in (storage or {}).items():
                state.set_storage(account, slot, value)

    def fund(self, address: str, wei: int) -> None:
        """Adds native coin (for gas) to an account, and mines a block with it."""
        from eth_utils.address import to_canonical_address

        with self._locked(), self._edited_state() as state:
            state.delta_balance(to_canonical_address(address), wei)

    def transact(
        self,
        private_key: Secret[bytes] | Secret[str] | bytes,
        to: str,
        data: bytes,
        *,
        value: int = 0,
        gas: int | None = None,
    ) -> Receipt:
        """Signs a transaction, mines it, and gives its receipt.

        Without ``gas`` it is tried first, so that a refusal raises :class:`Reverted` and costs
        nothing; with it, the transaction is mined as it is, and the receipt's ``status`` says how
        it ended."""
        from eth_account import Account
        from eth_utils.address import to_canonical_address, to_checksum_address
        from hexbytes import HexBytes

        sender = Account.from_key(_revealed(private_key)).address
        with self._locked():
            self._tick()
            if gas is None:
                gas = self._estimate(
                    to_canonical_address(sender), to_canonical_address(to), data, value, self._head
                )
            base_fee = self._next_base_fee()
            transaction = {
                "type": 2,
                "chainId": self.chain_id,
                "nonce": self._vm(self._head).state.get_nonce(to_canonical_address(sender)),
                "to": to_checksum_address(to),
                "data": data,
                "value": value,
                "gas": gas,
                "maxFeePerGas": 2 * base_fee + PRIORITY_FEE,
                "maxPriorityFeePerGas": PRIORITY_FEE,
            }
            raw = Account.sign_transaction(transaction, _revealed(private_key)).raw_transaction
            try:
                shown = self._receipts[self._mine(bytes(raw))]
            except RpcError as error:
                raise SimnetError(f"the transaction was not accepted: {error.message}") from error
        return {
            "transactionHash": HexBytes(shown["transactionHash"]),
            "blockNumber": int(shown["blockNumber"], 16),
            "blockHash": HexBytes(shown["blockHash"]),
            "status": int(shown["status"], 16),
            "gasUsed": int(shown["gasUsed"], 16),
            "logs": [
                {
                    "address": to_checksum_address(entry["address"]),
                    "topics": [HexBytes(topic) for topic in entry["topics"]],
                    "data": HexBytes(entry["data"]),
                    "logIndex": int(entry["logIndex"], 16),
                }
                for entry in shown["logs"]
            ],
        }

    def call(
        self, to: str, data: bytes, *, block: int | None = None, sender: str | None = None
    ) -> bytes:
        """What a contract answers, at the newest block or at ``block``; :class:`Reverted` if it
        refuses."""
        from eth_utils.address import to_canonical_address

        with self._locked():
            if block is None:
                self._tick()
            header = self._head if block is None else self._headers[block]
            origin = to_canonical_address(sender) if sender else _ZERO
            computation = self._execute(
                origin, to_canonical_address(to), data, 0, GAS_LIMIT, header
            )
        _raise_if_reverted(computation)
        return bytes(computation.output)

    def balance(self, address: str) -> int:
        """An account's native coin, in wei."""
        from eth_utils.address import to_canonical_address

        with self._locked():
            return int(self._vm(self._head).state.get_balance(to_canonical_address(address)))

    @property
    def block_number(self) -> int:
        """The newest block's number, after the block clock."""
        with self._locked():
            self._tick()
            return int(self._head.block_number)

    @property
    def time(self) -> int:
        """The newest block's time in Unix seconds, after the block clock."""
        with self._locked():
            self._tick()
            return int(self._head.timestamp)

    @cached_property
    def w3(self) -> Web3:
        """A web3.py instance on this chain, in this process and without a socket."""
        from web3 import Web3
        from web3.providers import BaseProvider

        handle = self.handle

        class InProcess(BaseProvider):
            def make_request(self, method: Any, params: Any) -> Any:
                return handle({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})

            def is_connected(self, show_traceback: bool = False) -> bool:
                return True

        return Web3(InProcess())

    # ------------------------------------------------------------------------------------- JSON-RPC

    def handle(self, request: Any) -> Any:
        """Answers one JSON-RPC 2.0 request, or a batch (a list).  Never raises; None where no
        answer is due."""
        if isinstance(request, list):
            if not request:
                return _answer(None, error=RpcError(-32600, "an empty batch"))
            answers = [answer for item in request if (answer := self._handle_one(item)) is not None]
            return answers or None
        return self._handle_one(request)

    def _handle_one(self, request: Any) -> dict[str, Any] | None:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _answer(None, error=RpcError(-32600, "not a JSON-RPC request"))
        identity, params = request.get("id"), request.get("params", [])
        try:
            if not isinstance(params, list):
                raise _invalid_params("params must be a list")
            method = _METHODS.get(request["method"])
            if method is None:
                raise RpcError(-32601, f"the method {request['method']} does not exist here")
            with self._locked():
                answer = _answer(identity, result=method(self, params))
        except RpcError as error:
            answer = _answer(identity, error=error)
        except Reverted as error:
            answer = _answer(identity, error=RpcError(3, error.message, "0x" + error.data.hex()))
        except SimnetError as error:
            answer = _answer(identity, error=RpcError(-32005, error.message))
        except RecursionError:
            answer = _answer(
                identity,
                error=RpcError(-32000, "contracts call each other too deep for this chain"),
            )
        except Exception as error:  # a request must never take the server with it
            answer = _answer(
                identity, error=RpcError(-32603, f"internal error ({type(error).__name__})")
            )
        return answer if "id" in request else None

    def _rpc_chain_id(self, params: Sequence[Any]) -> str:
        return hex(self.chain_id)

    def _rpc_net_version(self, params: Sequence[Any]) -> str:
        return str(self.chain_id)

    def _rpc_client_version(self, params: Sequence[Any]) -> str:
        return "opg-magic-simnet"

    def _rpc_false(self, params: Sequence[Any]) -> bool:
        return False

    def _rpc_accounts(self, params: Sequence[Any]) -> list[str]:
        return []  # the node holds no keys

    def _rpc_block_number(self, params: Sequence[Any]) -> str:
        self._tick()
        return hex(self._head.block_number)

    def _rpc_gas_price(self, params: Sequence[Any]) -> str:
        return hex(self._next_base_fee() + PRIORITY_FEE)

    def _rpc_max_priority_fee(self, params: Sequence[Any]) -> str:
        return hex(PRIORITY_FEE)

    def _rpc_fee_history(self, params: Sequence[Any]) -> dict[str, Any]:
        count = min(_quantity(_param(params, 0)), 1024)
        newest = self._header(_param(params, 1, "latest")).block_number
        percentiles = _param(params, 2, None) or []
        if count < 1:
            raise _invalid_params("the block count must be at least 1")
        headers = self._headers[max(0, newest - count + 1) : newest + 1]
        following = (
            self._headers[newest + 1].base_fee_per_gas if newest < self._head.block_number else None
        )
        fees = [header.base_fee_per_gas for header in headers]
        history: dict[str, Any] = {
            "oldestBlock": hex(headers[0].block_number),
            "baseFeePerGas": [hex(fee) for fee in [*fees, following or self._next_base_fee()]],
            "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
        }
        if percentiles:
            history["reward"] = [[hex(PRIORITY_FEE)] * len(percentiles) for _ in headers]
        return history

    def _rpc_get_balance(self, params: Sequence[Any]) -> str:
        state = self._vm(self._header(_param(params, 1, "latest"))).state
        return hex(int(state.get_balance(_address(_param(params, 0)))))

    def _rpc_get_code(self, params: Sequence[Any]) -> str:
        state = self._vm(self._header(_param(params, 1, "latest"))).state
        return _hex(state.get_code(_address(_param(params, 0))))

    def _rpc_get_storage(self, params: Sequence[Any]) -> str:
        state = self._vm(self._header(_param(params, 2, "latest"))).state
        return (
            f"0x{state.get_storage(_address(_param(params, 0)), _quantity(_param(params, 1))):064x}"
        )

    def _rpc_get_transaction_count(self, params: Sequence[Any]) -> str:
        state = self._vm(self._header(_param(params, 1, "latest"))).state
        return hex(state.get_nonce(_address(_param(params, 0))))

    def _rpc_call(self, params: Sequence[Any]) -> str:
        sender, to, data, value, gas = _call_fields(_param(params, 0))
        header = self._header(_param(params, 1, "latest"))
        if len(params) > 2 and params[2]:
            raise _invalid_params("state overrides are not supported")
        computation = self._execute(sender, to, data, value, gas, header)
        _raise_if_reverted(computation)
        return _hex(computation.output)

    def _rpc_estimate_gas(self, params: Sequence[Any]) -> str:
        sender, to, data, value, _ = _call_fields(_param(params, 0))
        return hex(
            self._estimate(sender, to, data, value, self._header(_param(params, 1, "latest")))
        )

    def _rpc_send_raw_transaction(self, params: Sequence[Any]) -> str:
        return self._mine(_bytes(_param(params, 0)))

    def _rpc_get_block_by_number(self, params: Sequence[Any]) -> dict[str, Any] | None:
        try:
            header = self._header(_param(params, 0, "latest"))
        except RpcError as error:
            if error.code == -32000:
                return None
            raise
        return self._shown_block(header.block_number, full=bool(_param(params, 1, False)))

    def _rpc_get_block_by_hash(self, params: Sequence[Any]) -> dict[str, Any] | None:
        number = self._number_of.get(_hash(_param(params, 0)))
        return (
            None
            if number is None
            else self._shown_block(number, full=bool(_param(params, 1, False)))
        )

    def _rpc_get_transaction(self, params: Sequence[Any]) -> dict[str, Any] | None:
        return self._transactions.get(_hash(_param(params, 0)))

    def _rpc_get_receipt(self, params: Sequence[Any]) -> dict[str, Any] | None:
        return self._receipts.get(_hash(_param(params, 0)))

    def _rpc_get_logs(self, params: Sequence[Any]) -> list[dict[str, Any]]:
        wanted = _param(params, 0)
        if not isinstance(wanted, dict):
            raise _invalid_params("a filter must be an object")
        if wanted.get("blockHash") is not None:
            first = last = self._header({"blockHash": wanted["blockHash"]}).block_number
        else:
            last = self._bound(wanted.get("toBlock"))
            first = self._bound(wanted.get("fromBlock"))
        addresses = wanted.get("address")
        if isinstance(addresses, str):
            addresses = [addresses]
        accounts = None if addresses is None else {"0x" + _address(a).hex() for a in addresses}
        topics = _topics(wanted.get("topics"))
        return [
            log
            for number, log in self._logs
            if first <= number <= last
            and (accounts is None or log["address"] in accounts)
            and len(log["topics"]) >= len(topics)
            and all(
                choice is None or topic in choice
                for choice, topic in zip(topics, log["topics"], strict=False)
            )
        ]

    def _bound(self, selector: Any) -> int:
        """A filter's bound: unlike a selector of state, it may lie beyond the newest block."""
        if isinstance(selector, str) and selector.startswith("0x"):
            return _quantity(selector)
        return int(self._header("latest" if selector is None else selector).block_number)

    # --------------------------------------------------------------------------------------- inside

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=LOCK_SECONDS):
            raise SimnetError("the chain is busy")
        try:
            yield
        finally:
            self._lock.release()

    def _tick(self) -> None:
        if int(self._now()) - self._head.timestamp >= BLOCK_SECONDS:
            with self._pending():
                self._seal([])

    @contextmanager
    def _pending(self) -> Iterator[None]:
        """A next block that begins now; what fails within leaves no trace in it."""
        before = self._chain.header
        self._chain.set_header_timestamp(max(int(self._now()), self._head.timestamp))
        try:
            yield
        except BaseException:
            self._chain.header = before
            raise

    @contextmanager
    def _edited_state(self) -> Iterator[Any]:
        """Changes the state outside any transaction, as a genesis does, and mines a block with the
        outcome."""
        with self._pending():
            state = self._vm(self._chain.header).state
            yield state
            state.persist()
            self._chain.header = self._chain.header.copy(state_root=state.state_root)
            self._seal([])

    def _vm(self, header: BlockHeaderAPI) -> VirtualMachineAPI:
        return self._chain.get_vm(at_header=header)

    def _next_base_fee(self) -> int:
        return int(self._chain.header.base_fee_per_gas)

    def _header(self, selector: Any) -> BlockHeaderAPI:
        """The block that a selector names: a tag, a number, or an object (EIP-1898)."""
        if isinstance(selector, dict):
            if selector.get("blockHash") is not None:
                number = self._number_of.get(_hash(selector["blockHash"]))
                if number is None:
                    raise RpcError(-32000, "header not found")
                return self._headers[number]
            selector = selector.get("blockNumber")
        if selector is None or selector in _NEWEST:
            self._tick()
            return self._head
        number = 0 if selector == "earliest" else _quantity(selector)
        if number >= len(self._headers):
            raise RpcError(-32000, "header not found")
        return self._headers[number]

    def _shown_block(self, number: int, *, full: bool) -> dict[str, Any]:
        block = self._blocks[number]
        if full and block["transactions"]:
            return block | {"transactions": [self._transactions[h] for h in block["transactions"]]}
        return block

    def _execute(
        self, sender: bytes, to: bytes, data: bytes, value: int, gas: int, header: BlockHeaderAPI
    ) -> ComputationAPI:
        """Runs one message on the state after ``header``, in that block's own context; nothing is
        kept."""
        from eth.vm.message import Message

        state = self._vm(header).state
        if to == b"":
            raise _invalid_params("creating contracts by a call is not supported")
        message = Message(
            gas=gas, to=to, sender=sender, value=value, data=data, code=state.get_code(to)
        )
        context = state.get_transaction_context_class()(gas_price=0, origin=sender)
        if value and state.get_balance(sender) < value:
            raise RpcError(-32000, "insufficient funds for transfer")
        return state.computation_class.apply_message(state, message, context)

    def _estimate(
        self, sender: bytes, to: bytes, data: bytes, value: int, header: BlockHeaderAPI
    ) -> int:
        """Gas that suffices for a transaction on this state; :class:`Reverted` if none does.

        What was used says too little: refunds come after the end, and inner calls get 63/64 of what
        is left (EIP-150). The measured sum with a margin for both is tried, and doubled until it
        suffices."""
        intrinsic = 21_000 + sum(16 if byte else 4 for byte in data)

        def run(gas: int) -> ComputationAPI:
            return self._execute(sender, to, data, value, gas - intrinsic, header)

        first = run(GAS_LIMIT)
        _raise_if_reverted(first)
        gas = intrinsic + int(first.get_gas_used() + first.get_gas_refund()) * 9 // 8
        while gas > intrinsic and run(gas).is_error:
            gas = min(2 * gas, GAS_LIMIT)
        return gas

    def _mine(self, raw: bytes) -> str:
        """Checks, executes and mines one signed transaction; gives its hash."""
        from eth.exceptions import PyEVMError
        from eth_utils.exceptions import ValidationError
        from rlp.exceptions import RLPException  # type: ignore[import-untyped]

        try:
            transaction = self._vm(self._head).get_transaction_builder().decode(raw)
        except (
            RLPException,
            ValidationError,
            PyEVMError,
            ValueError,
            TypeError,
            IndexError,
        ) as error:
            raise _invalid_params("not a signed transaction") from error
        if not transaction.is_signature_valid:
            raise RpcError(-32000, "invalid signature")
        if transaction.chain_id != self.chain_id:
            raise RpcError(-32000, f"invalid chain id: this is chain {self.chain_id}")
        if transaction.gas > GAS_LIMIT:
            raise RpcError(-32000, "exceeds block gas limit")
        with self._pending():
            try:
                _, receipt, computation = self._chain.apply_transaction(transaction)
            except (ValidationError, PyEVMError) as error:
                raise RpcError(-32000, self._rejection(transaction, error)) from error
            self._seal([(transaction, receipt, computation)])
        return _hex(transaction.hash)

    def _rejection(self, transaction: SignedTransactionAPI, error: Exception) -> str:
        """Why a transaction is not taken, in the words that tools of the field look for."""
        state = self._vm(self._head).state
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
        block = self._chain.mine_block(coinbase=_ZERO)
        self._head = block.header
        shown = _block_json(block, ["0x" + transaction.hash.hex() for transaction, _, _ in mined])
        for index, (transaction, receipt, computation) in enumerate(mined):
            transaction_json, receipt_json = _transaction_json(
                shown, block, index, transaction, receipt, computation
            )
            self._transactions[transaction_json["hash"]] = transaction_json
            self._receipts[transaction_json["hash"]] = receipt_json
            self._logs += [(block.number, log) for log in receipt_json["logs"]]
        self._headers.append(block.header)
        self._blocks.append(shown)
        self._number_of[shown["hash"]] = block.number


_METHODS: dict[str, Callable[[Chain, list[Any]], Any]] = {
    "web3_clientVersion": Chain._rpc_client_version,
    "net_version": Chain._rpc_net_version,
    "net_listening": Chain._rpc_false,
    "eth_chainId": Chain._rpc_chain_id,
    "eth_syncing": Chain._rpc_false,
    "eth_accounts": Chain._rpc_accounts,
    "eth_blockNumber": Chain._rpc_block_number,
    "eth_gasPrice": Chain._rpc_gas_price,
    "eth_maxPriorityFeePerGas": Chain._rpc_max_priority_fee,
    "eth_feeHistory": Chain._rpc_fee_history,
    "eth_getBalance": Chain._rpc_get_balance,
    "eth_getCode": Chain._rpc_get_code,
    "eth_getStorageAt": Chain._rpc_get_storage,
    "eth_getTransactionCount": Chain._rpc_get_transaction_count,
    "eth_call": Chain._rpc_call,
    "eth_estimateGas": Chain._rpc_estimate_gas,
    "eth_sendRawTransaction": Chain._rpc_send_raw_transaction,
    "eth_getBlockByNumber": Chain._rpc_get_block_by_number,
    "eth_getBlockByHash": Chain._rpc_get_block_by_hash,
    "eth_getTransactionByHash": Chain._rpc_get_transaction,
    "eth_getTransactionReceipt": Chain._rpc_get_receipt,
    "eth_getLogs": Chain._rpc_get_logs,
}


# ------------------------------------------------------------------------------------------ the EVM


def _new_chain(chain_id: int, timestamp: int, roots: frozenset[str]) -> Any:
    """A py-evm chain of its own classes, so that id and precompile exist nowhere else in the
    process."""
    from eth.chains.base import MiningChain
    from eth.consensus import ConsensusApplier, NoProofConsensus
    from eth.constants import (
        BLANK_ROOT_HASH,
        POST_MERGE_DIFFICULTY,
        POST_MERGE_MIX_HASH,
        POST_MERGE_NONCE,
    )
    from eth.db.atomic import AtomicDB
    from eth.vm.forks.shanghai import ShanghaiVM
    from eth.vm.forks.shanghai.computation import ShanghaiComputation
    from eth.vm.forks.shanghai.state import ShanghaiState

    from opg_magic.simnet.precompile import ADDRESS, Verifier

    class Computation(ShanghaiComputation):  # type: ignore[misc]
        _precompiles = {**ShanghaiComputation._precompiles, ADDRESS: Verifier(roots)}  # noqa: RUF012

    class State(ShanghaiState):  # type: ignore[misc]
        computation_class = Computation

    class VM(ShanghaiVM):  # type: ignore[misc]
        _state_class = State

        @classmethod
        def validate_header(cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI) -> None:
            # Blocks may share a second; all else is checked as ever.
            if header.timestamp == parent_header.timestamp:
                parent_header = parent_header.copy(timestamp=header.timestamp - 1)
            super().validate_header(header, parent_header)

    class SimulatedChain(MiningChain):  # type: ignore[misc]
        vm_configuration = ConsensusApplier(NoProofConsensus).amend_vm_configuration(((0, VM),))

        def create_header_from_parent(
            self, parent_header: BlockHeaderAPI, **params: Any
        ) -> BlockHeaderAPI:
            return super().create_header_from_parent(
                parent_header, **{**params, "gas_limit": GAS_LIMIT}
            )

    SimulatedChain.chain_id = chain_id
    genesis = {
        "coinbase": _ZERO,
        "difficulty": POST_MERGE_DIFFICULTY,
        "extra_data": b"",
        "gas_limit": GAS_LIMIT,
        "mix_hash": POST_MERGE_MIX_HASH,
        "nonce": POST_MERGE_NONCE,
        "receipt_root": BLANK_ROOT_HASH,
        "timestamp": timestamp,
        "transaction_root": BLANK_ROOT_HASH,
    }
    return SimulatedChain.from_genesis(AtomicDB(), genesis, {})


def _raise_if_reverted(computation: ComputationAPI) -> None:
    from eth.exceptions import Revert

    if not computation.is_error:
        return
    error = computation.error
    if isinstance(error, Revert):
        raise Reverted(revert_reason(bytes(computation.output)), bytes(computation.output))
    raise RpcError(-32000, f"execution failed: {type(error).__name__}")


def revert_reason(data: bytes) -> str | None:
    """The text of a ``revert("text")``; None for custom errors and for no data."""
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    if data[:4] != bytes.fromhex("08c379a0"):
        return None
    try:
        (reason,) = decode(["string"], data[4:])
    except DecodingError:
        return None
    return str(reason)


def _revealed(key: Secret[bytes] | Secret[str] | bytes) -> bytes | str:
    return key.reveal() if isinstance(key, Secret) else key


# ----------------------------------------------------------------------- JSON-RPC's forms of values


def _answer(identity: Any, *, result: Any = None, error: RpcError | None = None) -> dict[str, Any]:
    head = {"jsonrpc": "2.0", "id": identity}
    return head | ({"result": result} if error is None else {"error": error.as_dict()})


_REQUIRED = object()


def _param(params: Sequence[Any], index: int, default: Any = _REQUIRED) -> Any:
    if index < len(params):
        return params[index]
    if default is _REQUIRED:
        raise _invalid_params(f"parameter {index + 1} is missing")
    return default


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise _invalid_params("expected 0x-hex")
    try:
        return bytes.fromhex(value[2:])
    except ValueError as error:
        raise _invalid_params("expected 0x-hex") from error


def _quantity(value: Any) -> int:
    """A number in 0x-hex; plain integers too, as some clients send them for counts."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str) or not value.startswith("0x"):
        raise _invalid_params("expected a number in 0x-hex")
    try:
        return int(value[2:], 16)
    except ValueError as error:
        raise _invalid_params("expected a number in 0x-hex") from error


def _address(value: Any) -> bytes:
    raw = _bytes(value)
    if len(raw) != 20:
        raise _invalid_params("expected an address of 20 bytes")
    return raw


def _hash(value: Any) -> str:
    raw = _bytes(value)
    if len(raw) != 32:
        raise _invalid_params("expected a hash of 32 bytes")
    return "0x" + raw.hex()


def _topics(value: Any) -> list[set[str] | None]:
    """Per position: None (anything), or the topics of which one must stand there."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise _invalid_params("topics must be a list")
    return [
        None
        if choice is None or choice == []
        else {_hash(t) for t in (choice if isinstance(choice, list) else [choice])}
        for choice in value
    ]


def _call_fields(call: Any) -> tuple[bytes, bytes, bytes, int, int]:
    """Sender, target, data, value and gas of a call object."""
    if not isinstance(call, dict):
        raise _invalid_params("a call must be an object")
    data = call.get("input", call.get("data"))
    return (
        _address(call["from"]) if call.get("from") else _ZERO,
        _address(call["to"]) if call.get("to") else b"",
        _bytes(data) if data else b"",
        _quantity(call.get("value", 0)),
        min(_quantity(call["gas"]), GAS_LIMIT) if call.get("gas") else GAS_LIMIT,
    )


def _hex(value: Any) -> str:
    return "0x" + bytes(value).hex()


def _block_json(block: BlockAPI, transactions: list[str]) -> dict[str, Any]:
    header: Any = block.header
    return {
        "number": hex(header.block_number),
        "hash": _hex(header.hash),
        "parentHash": _hex(header.parent_hash),
        "nonce": _hex(header.nonce),
        "mixHash": _hex(header.mix_hash),
        "sha3Uncles": _hex(header.uncles_hash),
        "logsBloom": f"0x{header.bloom:0512x}",
        "transactionsRoot": _hex(header.transaction_root),
        "stateRoot": _hex(header.state_root),
        "receiptsRoot": _hex(header.receipt_root),
        "miner": _hex(header.coinbase),
        "difficulty": hex(header.difficulty),
        "totalDifficulty": "0x0",
        "extraData": _hex(header.extra_data),
        "size": hex(len(_encoded(block))),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "withdrawalsRoot": _hex(header.withdrawals_root),
        "withdrawals": [],
        "transactions": transactions,
        "uncles": [],
    }


def _encoded(block: BlockAPI) -> bytes:
    import rlp  # type: ignore[import-untyped]

    return bytes(rlp.encode(block))


def _transaction_json(
    shown: Mapping[str, Any],
    block: BlockAPI,
    index: int,
    transaction: Any,
    receipt: Any,
    computation: ComputationAPI,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A mined transaction and its receipt, as JSON-RPC shows them."""
    base_fee = block.header.base_fee_per_gas
    tip = min(transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas - base_fee)
    kind = getattr(transaction, "type_id", None) or 0
    place = {
        "transactionHash": _hex(transaction.hash),
        "transactionIndex": hex(index),
        "blockHash": shown["hash"],
        "blockNumber": shown["number"],
    }
    parties = {
        "from": _hex(transaction.sender),
        "to": _hex(transaction.to) if transaction.to else None,
    }
    transaction_json = parties | {
        "hash": place["transactionHash"],
        "blockHash": shown["hash"],
        "blockNumber": shown["number"],
        "transactionIndex": hex(index),
        "type": hex(kind),
        "chainId": hex(transaction.chain_id),
        "nonce": hex(transaction.nonce),
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
        "gasPrice": hex(base_fee + tip),
        "input": _hex(transaction.data),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
        "v": hex(transaction.y_parity if kind else transaction.v),
    }
    if kind:
        transaction_json |= {"yParity": hex(transaction.y_parity), "accessList": []}
    if kind == 2:
        transaction_json |= {
            "maxFeePerGas": hex(transaction.max_fee_per_gas),
            "maxPriorityFeePerGas": hex(transaction.max_priority_fee_per_gas),
        }
    logs = [
        place
        | {
            "address": _hex(log.address),
            "topics": [f"0x{topic:064x}" for topic in log.topics],
            "data": _hex(log.data),
            "logIndex": hex(position),
            "removed": False,
        }
        for position, log in enumerate(receipt.logs)
    ]
    created = not transaction.to and not computation.is_error
    receipt_json = (
        place
        | parties
        | {
            "type": hex(kind),
            "status": hex(0 if computation.is_error else 1),
            "gasUsed": shown["gasUsed"],
            "cumulativeGasUsed": hex(receipt.gas_used),
            "effectiveGasPrice": hex(base_fee + tip),
            "contractAddress": _hex(computation.msg.storage_address) if created else None,
            "logsBloom": f"0x{receipt.bloom:0512x}",
            "logs": logs,
        }
    )
    return transaction_json, receipt_json
