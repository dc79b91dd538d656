"""One chain as Python code uses it: place contracts, send transactions, call; or by JSON-RPC."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from opg_magic.errors import SimnetError
from opg_magic.models.secret import Secret
from opg_magic.simnet.chain import methods
from opg_magic.simnet.chain.errors import Receipt, RpcError, raise_if_reverted
from opg_magic.simnet.chain.evm import NOBODY
from opg_magic.simnet.chain.machine import Machine

if TYPE_CHECKING:
    from web3 import Web3


class Chain:
    """An EVM chain (Shanghai rules) with its own state, held in memory.

    ``now`` gives the time in Unix seconds (tests move it).  ``attestation_roots`` are the SHA-256
    fingerprints of the roots that the precompile at 0x…0900 accepts.  All methods may be called
    from any thread; one request runs at a time, and none can run longer than
    :data:`~opg_magic.simnet.chain.evm.GAS_LIMIT` allows."""

    def __init__(
        self,
        chain_id: int,
        *,
        now: Callable[[], float] = time.time,
        attestation_roots: Iterable[str] = (),
    ) -> None:
        self.chain_id = chain_id
        self.machine = Machine(chain_id, now=now, roots=attestation_roots)

    def put_code(
        self, address: str, runtime_bytecode: bytes, storage: Mapping[int, int] | None = None
    ) -> None:
        """Place a contract at a fixed address, without a deploying transaction, and mine a block
        with it."""
        from eth_utils.address import to_canonical_address

        account = to_canonical_address(address)
        with self.machine.locked(), self.machine.edited_state() as state:
            state.set_code(account, runtime_bytecode)
            state.set_nonce(account, 1)
            for slot, value in (storage or {}).items():
                state.set_storage(account, slot, value)

    def fund(self, address: str, wei: int) -> None:
        """Add native coin (for gas) to an account, in wei, and mine a block with it."""
        from eth_utils.address import to_canonical_address

        with self.machine.locked(), self.machine.edited_state() as state:
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
        """Sign and mine a transaction; its receipt.

        Without ``gas`` it is tried first: a refusal raises Reverted and costs nothing.  With it,
        the transaction is mined as it is, and the receipt's ``status`` says how it ended."""
        from eth_account import Account
        from eth_utils.address import to_canonical_address, to_checksum_address

        sender = Account.from_key(_revealed(private_key)).address
        with self.machine.locked():
            self.machine.tick()
            if gas is None:
                gas = self.machine.estimate(
                    to_canonical_address(sender),
                    to_canonical_address(to),
                    data,
                    value,
                    self.machine.head,
                )
            base_fee = self.machine.next_base_fee()
            transaction = {
                "type": 2,
                "chainId": self.chain_id,
                "nonce": self.machine.vm(self.machine.head).state.get_nonce(
                    to_canonical_address(sender)
                ),
                "to": to_checksum_address(to),
                "data": data,
                "value": value,
                "gas": gas,
                "maxFeePerGas": 2 * base_fee + methods.PRIORITY_FEE,
                "maxPriorityFeePerGas": methods.PRIORITY_FEE,
            }
            raw = Account.sign_transaction(transaction, _revealed(private_key)).raw_transaction
            try:
                shown = self.machine.receipts[self.machine.mine(bytes(raw))]
            except RpcError as error:
                raise SimnetError(f"the transaction was not accepted: {error.message}") from error
        return _receipt(shown)

    def call(
        self, to: str, data: bytes, *, block: int | None = None, sender: str | None = None
    ) -> bytes:
        """What a contract answers, at the newest block or at ``block``.  Raises Reverted if it
        refuses."""
        from eth_utils.address import to_canonical_address

        with self.machine.locked():
            if block is None:
                self.machine.tick()
            header = self.machine.head if block is None else self.machine.headers[block]
            origin = to_canonical_address(sender) if sender else NOBODY
            computation = self.machine.execute(
                origin, to_canonical_address(to), data, 0, self.machine.gas_limit, header
            )
        raise_if_reverted(computation)
        return bytes(computation.output)

    def balance(self, address: str) -> int:
        """An account's native coin, in wei."""
        from eth_utils.address import to_canonical_address

        with self.machine.locked():
            return int(
                self.machine.vm(self.machine.head).state.get_balance(to_canonical_address(address))
            )

    @property
    def block_number(self) -> int:
        """The newest block's number, after the block clock."""
        with self.machine.locked():
            self.machine.tick()
            return int(self.machine.head.block_number)

    @property
    def time(self) -> int:
        """The newest block's time in Unix seconds, after the block clock."""
        with self.machine.locked():
            self.machine.tick()
            return int(self.machine.head.timestamp)

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

    def handle(self, request: Any) -> Any:
        """Answer one JSON-RPC 2.0 request, or a batch (a list).  Never raises; None where no answer
        is due."""
        return methods.handle(self.machine, request)


def _receipt(shown: Mapping[str, Any]) -> Receipt:
    """A receipt in web3.py's names and types, from JSON-RPC's."""
    from eth_utils.address import to_checksum_address
    from hexbytes import HexBytes

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


def _revealed(key: Secret[bytes] | Secret[str] | bytes) -> bytes | str:
    return key.reveal() if isinstance(key, Secret) else key
