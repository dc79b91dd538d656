"""Foundry's anvil in place of the embedded chains: another EVM, written by others, behind the same
Python interface.

anvil has nothing at 0x…0900: a stub stands there (``contracts/VerifierStub.sol``) that accepts the
attestations it was told of, and every RSA-PSS signature but those it was told to refuse."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from opg_magic.models.secret import Secret
from opg_magic.network.profiles import PAYMENT_CHAIN_ID, REGISTRY_CHAIN_ID
from opg_magic.protocol.keccak import keccak256
from opg_magic.simnet.chain.errors import Receipt, Reverted, revert_reason
from opg_magic.simnet.network import SimNetwork

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".venvs" / "npm-anvil" / "node_modules" / "@foundry-rs"
STUB = Path(__file__).parent / "contracts" / "VerifierStub.json"
VERIFIER = "0x0000000000000000000000000000000000000900"

#: A block every second beside one for each transaction: a chain that lives, as the real ones do.
BLOCK_SECONDS = 1


def binary() -> Path:
    """The program itself, without the Node script around it; the test is skipped where it is not
    installed."""
    for found in sorted(INSTALLED.glob("anvil-*/bin/anvil*")):
        return found
    pytest.skip(
        "anvil is not installed: scripts/need_anvil.sh .venvs/npm-anvil (npm could not fetch it?)"
    )


class AnvilChain:
    """A running anvil with the interface of :class:`opg_magic.simnet.chain.chain.Chain`, so that
    what serves one serves both.

    ``now`` moves its clock: see :meth:`follow_clock`.
    """

    def __init__(self, chain_id: int, *, now: Callable[[], float] = time.time) -> None:
        self.chain_id = chain_id
        self._now = now
        self._lock = threading.RLock()
        command = [
            *(str(binary()), "--host", "127.0.0.1", "--port", "0", "--chain-id", str(chain_id)),
            *("--accounts", "0", "--hardfork", "shanghai", "--timestamp", str(int(now()))),
            *("--block-time", str(BLOCK_SECONDS), "--mixed-mining"),
        ]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        said: list[str] = []
        for line in self._process.stdout:
            said.append(line)
            if line.startswith("Listening on "):
                break
        else:
            raise RuntimeError(f"anvil did not start: {''.join(said)[-2000:]}")
        self.port = int(said[-1].rsplit(":", 1)[1])
        self.url = f"http://127.0.0.1:{self.port}"
        # Its log goes on: unread, a full pipe would stop it.
        threading.Thread(target=self._process.stdout.read, daemon=True).start()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    # ------------------------------------------------------------------------------------- JSON-RPC

    def handle(self, request: Any) -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(
                "POST", "/", json.dumps(request), {"Content-Type": "application/json"}
            )
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def rpc(self, method: str, *params: Any) -> Any:
        answer = self.handle({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        if "error" in answer:
            data = bytes.fromhex(str(answer["error"].get("data") or "0x")[2:])
            raise (
                Reverted(revert_reason(data), data)
                if data
                else RuntimeError(f"{method}: {answer['error']}")
            )
        return answer["result"]

    # ------------------------------------------------------------------------------ as Chain has it

    def put_code(
        self, address: str, runtime_bytecode: bytes, storage: Mapping[int, int] | None = None
    ) -> None:
        with self._lock:
            self.rpc("anvil_setCode", address, "0x" + runtime_bytecode.hex())
            for slot, value in (storage or {}).items():
                self.rpc("anvil_setStorageAt", address, f"0x{slot:064x}", f"0x{value:064x}")
            self.rpc("evm_mine")

    def fund(self, address: str, wei: int) -> None:
        with self._lock:
            self.rpc("anvil_setBalance", address, hex(self.balance(address) + wei))

    def transact(
        self,
        private_key: Secret[bytes] | bytes,
        to: str,
        data: bytes,
        *,
        value: int = 0,
        gas: int | None = None,
    ) -> Receipt:
        from eth_account import Account
        from eth_utils.address import to_checksum_address
        from hexbytes import HexBytes

        key = private_key.reveal() if isinstance(private_key, Secret) else private_key
        sender = Account.from_key(key).address
        with self._lock:
            call = {"from": sender, "to": to, "data": "0x" + data.hex(), "value": hex(value)}
            wanted = gas or int(self.rpc("eth_estimateGas", call), 16) * 5 // 4
            price = int(self.rpc("eth_gasPrice"), 16)
            transaction = {
                "type": 2,
                "chainId": self.chain_id,
                "nonce": int(self.rpc("eth_getTransactionCount", sender, "pending"), 16),
                "to": to_checksum_address(to),
                "data": data,
                "value": value,
                "gas": wanted,
                "maxFeePerGas": 2 * price,
                "maxPriorityFeePerGas": min(price, 10**8),
            }
            raw = bytes(Account.sign_transaction(transaction, key).raw_transaction)
            tx_hash = self.rpc("eth_sendRawTransaction", "0x" + raw.hex())
            while (shown := self.rpc("eth_getTransactionReceipt", tx_hash)) is None:
                self.rpc("evm_mine")
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
        message = {"to": to, "data": "0x" + data.hex(), **({"from": sender} if sender else {})}
        return bytes.fromhex(
            self.rpc("eth_call", message, "latest" if block is None else hex(block))[2:]
        )

    def balance(self, address: str) -> int:
        return int(self.rpc("eth_getBalance", address, "latest"), 16)

    @property
    def block_number(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    @property
    def time(self) -> int:
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    @cached_property
    def w3(self) -> Any:
        from web3 import HTTPProvider, Web3

        return Web3(HTTPProvider(self.url))

    def follow_clock(self) -> None:
        """Bring the newest block to the time of ``now``, if that lies ahead."""
        with self._lock:
            if int(self._now()) > self.time:
                self.rpc("evm_setNextBlockTimestamp", int(self._now()))
                self.rpc("evm_mine")


# --------------------------------------------------------------------------------------------- stub


@cache
def _stub() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(STUB.read_text())
    return loaded


class Stub:
    """The stub at 0x…0900 of one chain."""

    def __init__(self, chain: AnvilChain) -> None:
        self._chain = chain
        self._key = Secret(b"\x21" * 32)

    def place(self) -> None:
        from opg_magic.simnet.contracts.deploy import GAS_MONEY, address_of

        self._chain.put_code(VERIFIER, bytes.fromhex(_stub()["runtimeBytecode"][2:]))
        self._chain.fund(address_of(self._key), GAS_MONEY)

    def attest_to(self, signing_key: bytes, pcr_hash: bytes) -> None:
        """Accept attestations of this key (DER), as made by code with that measurement."""
        self._send("attestTo(bytes32,bytes32)", keccak256(signing_key) + pcr_hash)

    def refuse(self, signature: bytes) -> None:
        """Let this signature be none."""
        self._send("refuse(bytes32)", keccak256(signature))

    def _send(self, function: str, arguments: bytes) -> None:
        self._chain.transact(self._key, VERIFIER, keccak256(function.encode())[:4] + arguments)


class AnvilNetwork(SimNetwork):
    """The whole simulated network on two anvils.  Hosts, facilitator and blob store are the
    same."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.chains: list[AnvilChain] = []

    async def _open_chains(self) -> None:
        for chain_id, now in ((PAYMENT_CHAIN_ID, self.clock), (REGISTRY_CHAIN_ID, time.time)):
            self.chains.append(await asyncio.to_thread(AnvilChain, chain_id, now=now))
        self._payment, self._registry_chain = self.chains  # type: ignore[assignment]  # one interface, two classes
        self.stub = Stub(self.chains[1])
        await asyncio.to_thread(self.stub.place)

    async def _serve_chains(self) -> tuple[str, str]:
        payment, registry = self.chains
        return registry.url, payment.url

    def _register_all(self) -> None:
        for host in self.hosts:
            self.stub.attest_to(
                host.signer.der, keccak256(host.pcrs[0] + host.pcrs[1] + host.pcrs[2])
            )
        super()._register_all()

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self.chains[0].follow_clock()

    async def stop(self) -> None:
        await super().stop()
        for chain in self.chains:
            await asyncio.to_thread(chain.stop)
