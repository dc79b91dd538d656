"""The Ethereum JSON-RPC methods that wallets, web3.py and the official SDK use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from opg_magic.errors import SimnetError
from opg_magic.simnet.chain.errors import Reverted, RpcError, invalid_params, raise_if_reverted
from opg_magic.simnet.chain.evm import NOBODY
from opg_magic.simnet.chain.machine import Machine
from opg_magic.simnet.chain.values import address as read_address
from opg_magic.simnet.chain.values import data as read_data
from opg_magic.simnet.chain.values import hash32, param, quantity, to_hex
from opg_magic.simnet.chain.values import topics as read_topics

#: Wei for a unit of gas, given to whoever mines.
PRIORITY_FEE = 10**8


def handle(machine: Machine, request: Any) -> Any:
    """Answers one JSON-RPC 2.0 request, or a batch (a list).  Never raises; None where no
    answer is due."""
    if isinstance(request, list):
        if not request:
            return _answer(None, error=RpcError(-32600, "an empty batch"))
        answers = [answer for item in request if (answer := _handle_one(machine, item)) is not None]
        return answers or None
    return _handle_one(machine, request)


def _handle_one(machine: Machine, request: Any) -> dict[str, Any] | None:
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return _answer(None, error=RpcError(-32600, "not a JSON-RPC request"))
    identity, params = request.get("id"), request.get("params", [])
    try:
        if not isinstance(params, list):
            raise invalid_params("params must be a list")
        method = _METHODS.get(request["method"])
        if method is None:
            raise RpcError(-32601, f"the method {request['method']} does not exist here")
        with machine.locked():
            answer = _answer(identity, result=method(machine, params))
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


def _answer(identity: Any, *, result: Any = None, error: RpcError | None = None) -> dict[str, Any]:
    head = {"jsonrpc": "2.0", "id": identity}
    return head | ({"result": result} if error is None else {"error": error.as_dict()})


# -------------------------------------------------------------------------------- one method each


def _chain_id(machine: Machine, params: Sequence[Any]) -> str:
    return hex(machine.chain_id)


def _net_version(machine: Machine, params: Sequence[Any]) -> str:
    return str(machine.chain_id)


def _client_version(machine: Machine, params: Sequence[Any]) -> str:
    return "opg-magic-simnet"


def _false(machine: Machine, params: Sequence[Any]) -> bool:
    return False


def _accounts(machine: Machine, params: Sequence[Any]) -> list[str]:
    return []  # the node holds no keys


def _block_number(machine: Machine, params: Sequence[Any]) -> str:
    machine.tick()
    return hex(machine.head.block_number)


def _gas_price(machine: Machine, params: Sequence[Any]) -> str:
    return hex(machine.next_base_fee() + PRIORITY_FEE)


def _max_priority_fee(machine: Machine, params: Sequence[Any]) -> str:
    return hex(PRIORITY_FEE)


def _fee_history(machine: Machine, params: Sequence[Any]) -> dict[str, Any]:
    count = min(quantity(param(params, 0)), 1024)
    newest = machine.header(param(params, 1, "latest")).block_number
    percentiles = param(params, 2, None) or []
    if count < 1:
        raise invalid_params("the block count must be at least 1")
    headers = machine.headers[max(0, newest - count + 1) : newest + 1]
    following = (
        machine.headers[newest + 1].base_fee_per_gas if newest < machine.head.block_number else None
    )
    fees = [header.base_fee_per_gas for header in headers]
    history: dict[str, Any] = {
        "oldestBlock": hex(headers[0].block_number),
        "baseFeePerGas": [hex(fee) for fee in [*fees, following or machine.next_base_fee()]],
        "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
    }
    if percentiles:
        history["reward"] = [[hex(PRIORITY_FEE)] * len(percentiles) for _ in headers]
    return history


def _get_balance(machine: Machine, params: Sequence[Any]) -> str:
    state = machine.vm(machine.header(param(params, 1, "latest"))).state
    return hex(int(state.get_balance(read_address(param(params, 0)))))


def _get_code(machine: Machine, params: Sequence[Any]) -> str:
    state = machine.vm(machine.header(param(params, 1, "latest"))).state
    return to_hex(state.get_code(read_address(param(params, 0))))


def _get_storage(machine: Machine, params: Sequence[Any]) -> str:
    state = machine.vm(machine.header(param(params, 2, "latest"))).state
    return f"0x{state.get_storage(read_address(param(params, 0)), quantity(param(params, 1))):064x}"


def _get_transaction_count(machine: Machine, params: Sequence[Any]) -> str:
    state = machine.vm(machine.header(param(params, 1, "latest"))).state
    return hex(state.get_nonce(read_address(param(params, 0))))


def _call(machine: Machine, params: Sequence[Any]) -> str:
    sender, to, data, value, gas = _call_fields(machine, param(params, 0))
    header = machine.header(param(params, 1, "latest"))
    if len(params) > 2 and params[2]:
        raise invalid_params("state overrides are not supported")
    computation = machine.execute(sender, to, data, value, gas, header)
    raise_if_reverted(computation)
    return to_hex(computation.output)


def _estimate_gas(machine: Machine, params: Sequence[Any]) -> str:
    sender, to, data, value, _ = _call_fields(machine, param(params, 0))
    return hex(
        machine.estimate(sender, to, data, value, machine.header(param(params, 1, "latest")))
    )


def _send_raw_transaction(machine: Machine, params: Sequence[Any]) -> str:
    return machine.mine(read_data(param(params, 0)))


def _get_block_by_number(machine: Machine, params: Sequence[Any]) -> dict[str, Any] | None:
    try:
        header = machine.header(param(params, 0, "latest"))
    except RpcError as error:
        if error.code == -32000:
            return None
        raise
    return machine.block(header.block_number, full=bool(param(params, 1, False)))


def _get_block_by_hash(machine: Machine, params: Sequence[Any]) -> dict[str, Any] | None:
    number = machine.number_of(hash32(param(params, 0)))
    return None if number is None else machine.block(number, full=bool(param(params, 1, False)))


def _get_transaction(machine: Machine, params: Sequence[Any]) -> dict[str, Any] | None:
    return machine.transactions.get(hash32(param(params, 0)))


def _get_receipt(machine: Machine, params: Sequence[Any]) -> dict[str, Any] | None:
    return machine.receipts.get(hash32(param(params, 0)))


def _get_logs(machine: Machine, params: Sequence[Any]) -> list[dict[str, Any]]:
    wanted = param(params, 0)
    if not isinstance(wanted, dict):
        raise invalid_params("a filter must be an object")
    if wanted.get("blockHash") is not None:
        first = last = machine.header({"blockHash": wanted["blockHash"]}).block_number
    else:
        last = _bound(machine, wanted.get("toBlock"))
        first = _bound(machine, wanted.get("fromBlock"))
    addresses = wanted.get("address")
    if isinstance(addresses, str):
        addresses = [addresses]
    accounts = None if addresses is None else {"0x" + read_address(a).hex() for a in addresses}
    topics = read_topics(wanted.get("topics"))
    return [
        log
        for number, log in machine.logs
        if first <= number <= last
        and (accounts is None or log["address"] in accounts)
        and len(log["topics"]) >= len(topics)
        and all(
            choice is None or topic in choice
            for choice, topic in zip(topics, log["topics"], strict=False)
        )
    ]


def _bound(machine: Machine, selector: Any) -> int:
    """A filter's bound: unlike a selector of state, it may lie beyond the newest block."""
    if isinstance(selector, str) and selector.startswith("0x"):
        return quantity(selector)
    return int(machine.header("latest" if selector is None else selector).block_number)


def _call_fields(machine: Machine, call: Any) -> tuple[bytes, bytes, bytes, int, int]:
    """Sender, target, data, value and gas of a call object."""
    if not isinstance(call, dict):
        raise invalid_params("a call must be an object")
    data = call.get("input", call.get("data"))
    return (
        read_address(call["from"]) if call.get("from") else NOBODY,
        read_address(call["to"]) if call.get("to") else b"",
        read_data(data) if data else b"",
        quantity(call.get("value", 0)),
        min(quantity(call["gas"]), machine.gas_limit) if call.get("gas") else machine.gas_limit,
    )


_METHODS: dict[str, Callable[[Machine, list[Any]], Any]] = {
    "web3_clientVersion": _client_version,
    "net_version": _net_version,
    "net_listening": _false,
    "eth_chainId": _chain_id,
    "eth_syncing": _false,
    "eth_accounts": _accounts,
    "eth_blockNumber": _block_number,
    "eth_gasPrice": _gas_price,
    "eth_maxPriorityFeePerGas": _max_priority_fee,
    "eth_feeHistory": _fee_history,
    "eth_getBalance": _get_balance,
    "eth_getCode": _get_code,
    "eth_getStorageAt": _get_storage,
    "eth_getTransactionCount": _get_transaction_count,
    "eth_call": _call,
    "eth_estimateGas": _estimate_gas,
    "eth_sendRawTransaction": _send_raw_transaction,
    "eth_getBlockByNumber": _get_block_by_number,
    "eth_getBlockByHash": _get_block_by_hash,
    "eth_getTransactionByHash": _get_transaction,
    "eth_getTransactionReceipt": _get_receipt,
    "eth_getLogs": _get_logs,
}
