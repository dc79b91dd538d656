"""Blocks, transactions and receipts as JSON-RPC shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opg_magic.simnet.chain.values import to_hex

if TYPE_CHECKING:
    from eth.abc import BlockAPI, ComputationAPI


def block_json(block: BlockAPI, transactions: list[str]) -> dict[str, Any]:
    """A block as ``eth_getBlockByNumber`` shows it, with its transactions' hashes."""
    import rlp  # type: ignore[import-untyped]

    header: Any = block.header
    return {
        "number": hex(header.block_number),
        "hash": to_hex(header.hash),
        "parentHash": to_hex(header.parent_hash),
        "nonce": to_hex(header.nonce),
        "mixHash": to_hex(header.mix_hash),
        "sha3Uncles": to_hex(header.uncles_hash),
        "logsBloom": f"0x{header.bloom:0512x}",
        "transactionsRoot": to_hex(header.transaction_root),
        "stateRoot": to_hex(header.state_root),
        "receiptsRoot": to_hex(header.receipt_root),
        "miner": to_hex(header.coinbase),
        "difficulty": hex(header.difficulty),
        "totalDifficulty": "0x0",
        "extraData": to_hex(header.extra_data),
        "size": hex(len(rlp.encode(block))),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "withdrawalsRoot": to_hex(header.withdrawals_root),
        "withdrawals": [],
        "transactions": transactions,
        "uncles": [],
    }


def transaction_json(
    shown: Mapping[str, Any], block: BlockAPI, index: int, transaction: Any
) -> dict[str, Any]:
    """A mined transaction as ``eth_getTransactionByHash`` shows it; ``shown`` is its block."""
    kind = _kind(transaction)
    fields = _parties(transaction) | {
        "hash": to_hex(transaction.hash),
        "blockHash": shown["hash"],
        "blockNumber": shown["number"],
        "transactionIndex": hex(index),
        "type": hex(kind),
        "chainId": hex(transaction.chain_id),
        "nonce": hex(transaction.nonce),
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
        "gasPrice": hex(_gas_price(block, transaction)),
        "input": to_hex(transaction.data),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
        "v": hex(transaction.y_parity if kind else transaction.v),
    }
    if kind:
        fields |= {"yParity": hex(transaction.y_parity), "accessList": []}
    if kind == 2:
        fields |= {
            "maxFeePerGas": hex(transaction.max_fee_per_gas),
            "maxPriorityFeePerGas": hex(transaction.max_priority_fee_per_gas),
        }
    return fields


def receipt_json(
    shown: Mapping[str, Any],
    block: BlockAPI,
    index: int,
    transaction: Any,
    receipt: Any,
    computation: ComputationAPI,
) -> dict[str, Any]:
    """A mined transaction's outcome as ``eth_getTransactionReceipt`` shows it."""
    place = {
        "transactionHash": to_hex(transaction.hash),
        "transactionIndex": hex(index),
        "blockHash": shown["hash"],
        "blockNumber": shown["number"],
    }
    logs = [
        place
        | {
            "address": to_hex(log.address),
            "topics": [f"0x{topic:064x}" for topic in log.topics],
            "data": to_hex(log.data),
            "logIndex": hex(position),
            "removed": False,
        }
        for position, log in enumerate(receipt.logs)
    ]
    created = not transaction.to and not computation.is_error
    return (
        place
        | _parties(transaction)
        | {
            "type": hex(_kind(transaction)),
            "status": hex(0 if computation.is_error else 1),
            "gasUsed": shown["gasUsed"],
            "cumulativeGasUsed": hex(receipt.gas_used),
            "effectiveGasPrice": hex(_gas_price(block, transaction)),
            "contractAddress": to_hex(computation.msg.storage_address) if created else None,
            "logsBloom": f"0x{receipt.bloom:0512x}",
            "logs": logs,
        }
    )


def _kind(transaction: Any) -> int:
    """The transaction's type (EIP-2718); 0 for one without an envelope."""
    return getattr(transaction, "type_id", None) or 0


def _parties(transaction: Any) -> dict[str, Any]:
    return {
        "from": to_hex(transaction.sender),
        "to": to_hex(transaction.to) if transaction.to else None,
    }


def _gas_price(block: BlockAPI, transaction: Any) -> int:
    """What was paid for a unit of gas, in wei (EIP-1559)."""
    base_fee: int = block.header.base_fee_per_gas
    tip = min(transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas - base_fee)
    return base_fee + int(tip)
