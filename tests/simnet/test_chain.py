"""One chain of the simulated network: its clock, its history, its transactions, its logs."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from eth_account import Account
from eth_utils import keccak

from opg_magic.models.secret import Secret
from opg_magic.network.profiles import OPG_ADDRESS
from opg_magic.simnet.chain import machine as machine_module
from opg_magic.simnet.chain.chain import Chain
from opg_magic.simnet.chain.errors import Reverted
from opg_magic.simnet.chain.machine import BLOCK_SECONDS
from opg_magic.simnet.contracts import deploy

ADMIN = Secret(b"\x01" * 32)
ANNA = Secret(b"\x02" * 32)
BERT = Secret(b"\x03" * 32)
START = 1_800_000_000
TRANSFER = "0x" + keccak(text="Transfer(address,address,uint256)").hex()


class Clock:
    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def chain(clock: Clock) -> Chain:
    made = Chain(8453, now=clock)
    token = deploy.opg(made)
    token.place({"admin": int(deploy.address_of(ADMIN), 16)})
    for key in (ADMIN, ANNA):
        made.fund(deploy.address_of(key), 10**21)
    return made


def ask(chain: Chain, method: str, *params: Any) -> Any:
    answer = chain.handle({"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)})
    assert answer["id"] == 7
    assert "error" not in answer, answer
    return answer["result"]


def refusal(chain: Chain, method: str, *params: Any) -> dict[str, Any]:
    error: dict[str, Any] = chain.handle(
        {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
    )["error"]
    return error


def signed(chain: Chain, key: Secret[bytes], **changes: Any) -> str:
    transaction: dict[str, Any] = {
        "type": 2,
        "chainId": chain.chain_id,
        "nonce": int(ask(chain, "eth_getTransactionCount", deploy.address_of(key), "latest"), 16),
        "to": "0x" + "77" * 20,
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": 3 * 10**9,
        "maxPriorityFeePerGas": 10**8,
    } | changes
    return "0x" + Account.sign_transaction(transaction, key.reveal()).raw_transaction.hex()


def word(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


# -------------------------------------------------------------------------------------- block clock


def test_an_idle_chain_shows_a_recent_block(chain: Chain, clock: Clock) -> None:
    before = int(ask(chain, "eth_blockNumber"), 16)
    clock.now += 3600
    block = ask(chain, "eth_getBlockByNumber", "latest", False)
    assert int(block["number"], 16) == before + 1
    assert int(block["timestamp"], 16) == START + 3600
    assert block["transactions"] == []


def test_a_block_younger_than_the_block_time_stays_the_newest(chain: Chain, clock: Clock) -> None:
    before = ask(chain, "eth_blockNumber")
    clock.now += BLOCK_SECONDS - 1
    assert ask(chain, "eth_blockNumber") == before
    clock.now += 1
    assert ask(chain, "eth_blockNumber") != before


def test_a_pinned_block_is_not_moved_by_the_clock(chain: Chain, clock: Clock) -> None:
    pinned = ask(chain, "eth_getBlockByNumber", "latest", False)
    clock.now += 3600
    assert ask(chain, "eth_getBlockByNumber", pinned["number"], False) == pinned
    assert ask(chain, "eth_getBlockByHash", pinned["hash"], False) == pinned
    assert ask(chain, "eth_getBlockByNumber", hex(int(pinned["number"], 16) + 1), False) is None


def test_time_never_runs_backwards(chain: Chain, clock: Clock) -> None:
    clock.now += 100
    newest = chain.time
    clock.now -= 500
    deploy.opg(chain).send(ADMIN, "mint", deploy.address_of(ANNA), 1)
    assert chain.time == newest


def test_transactions_of_one_second_do_not_push_the_clock_ahead(chain: Chain) -> None:
    for _ in range(5):
        deploy.opg(chain).send(ADMIN, "mint", deploy.address_of(ANNA), 1)
    assert chain.time == START


def test_blocks_form_a_chain(chain: Chain) -> None:
    blocks = [
        ask(chain, "eth_getBlockByNumber", hex(n), False) for n in range(chain.block_number + 1)
    ]
    assert [b["parentHash"] for b in blocks[1:]] == [b["hash"] for b in blocks[:-1]]


def test_contracts_see_the_time_of_the_block_that_is_asked_about(
    chain: Chain, clock: Clock
) -> None:
    # TIMESTAMP PUSH1 0 MSTORE PUSH1 32 PUSH1 0 RETURN
    probe = "0x" + "55" * 20
    chain.put_code(probe, bytes.fromhex("4260005260206000f3"))
    then = chain.block_number
    clock.now += 500
    assert int.from_bytes(chain.call(probe, b""), "big") == START + 500
    assert int.from_bytes(chain.call(probe, b"", block=then), "big") == START


# ------------------------------------------------------------------------------------------ history


def test_state_is_read_as_it_was_at_a_block(chain: Chain) -> None:
    anna = deploy.address_of(ANNA)
    token = deploy.opg(chain)
    token.send(ADMIN, "mint", anna, 5)
    then = ask(chain, "eth_getBlockByNumber", "latest", False)
    token.send(ADMIN, "mint", anna, 7)
    call = {"to": OPG_ADDRESS, "data": "0x" + token.encode("balanceOf", anna).hex()}
    assert int(ask(chain, "eth_call", call, "latest"), 16) == 12
    for selector in (then["number"], {"blockNumber": then["number"]}, {"blockHash": then["hash"]}):
        assert int(ask(chain, "eth_call", call, selector), 16) == 5
    assert ask(chain, "eth_getCode", OPG_ADDRESS, "earliest") == "0x"
    assert len(ask(chain, "eth_getCode", OPG_ADDRESS, "latest")) > 1000


def test_a_block_that_is_not_there_is_an_error_for_state(chain: Chain) -> None:
    for selector in (hex(10**6), {"blockHash": "0x" + "00" * 32}):
        assert (
            refusal(chain, "eth_getBalance", OPG_ADDRESS, selector)["message"] == "header not found"
        )


def test_a_call_leaves_no_trace(chain: Chain) -> None:
    token = deploy.opg(chain)
    data = "0x" + token.encode("mint", deploy.address_of(ANNA), 5).hex()
    ask(
        chain,
        "eth_call",
        {"from": deploy.address_of(ADMIN), "to": OPG_ADDRESS, "data": data},
        "latest",
    )
    ask(
        chain,
        "eth_estimateGas",
        {"from": deploy.address_of(ADMIN), "to": OPG_ADDRESS, "data": data},
    )
    assert token.read("totalSupply") == 0


def test_the_same_call_at_the_same_block_is_run_once(
    chain: Chain, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it depends on makes it another: block, sender, value, gas, data."""
    # The sum of CALLER, CALLVALUE, TIMESTAMP and GAS, as one word.
    probe = "0x" + "56" * 20
    chain.put_code(probe, bytes.fromhex("3334014201" + "5a01" + "60005260206000f3"))
    runs = []
    run = machine_module.Machine._run
    monkeypatch.setattr(
        machine_module.Machine, "_run", lambda *asked: runs.append(asked) or run(*asked)
    )
    call = {"to": probe, "gas": hex(100_000), "from": deploy.address_of(ANNA)}
    block = ask(chain, "eth_blockNumber")
    first = ask(chain, "eth_call", call, block)
    assert ask(chain, "eth_call", call, block) == first and len(runs) == 1
    clock.now += 10
    changes: list[dict[str, Any]] = [
        {},
        {"from": deploy.address_of(ADMIN)},
        {"value": "0x1"},
        {"gas": hex(90_000)},
    ]
    answers = {ask(chain, "eth_call", call | change, "latest") for change in changes}
    assert len(answers | {first}) == 5 and len(runs) == 5


def test_a_call_after_the_state_was_edited_in_the_same_second_sees_the_new(chain: Chain) -> None:
    """Also a refusal is not remembered beyond its block."""
    token, anna = deploy.opg(chain), deploy.address_of(ANNA)
    transfer = token.encode("transfer", deploy.address_of(BERT), 5)
    for _ in range(2):
        with pytest.raises(Reverted):
            chain.call(OPG_ADDRESS, transfer, sender=anna)
    token.send(ADMIN, "mint", anna, 5)
    assert int.from_bytes(chain.call(OPG_ADDRESS, transfer, sender=anna), "big") == 1
    chain.put_code(OPG_ADDRESS, bytes.fromhex("602a60005260206000f3"))
    assert int.from_bytes(chain.call(OPG_ADDRESS, transfer, sender=anna), "big") == 0x2A


def test_what_is_remembered_of_calls_is_bounded(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_module, "REMEMBERED", 4)
    for i in range(20):
        chain.call(OPG_ADDRESS, deploy.opg(chain).encode("balanceOf", "0x" + f"{i:040x}"))
        assert len(chain.machine._outcomes) <= 4


# ------------------------------------------------------------------------------------- transactions


def test_a_transaction_can_be_looked_up(chain: Chain) -> None:
    raw = signed(chain, ANNA)
    identity = ask(chain, "eth_sendRawTransaction", raw)
    assert identity == "0x" + keccak(hexstr=raw).hex()
    transaction = ask(chain, "eth_getTransactionByHash", identity)
    receipt = ask(chain, "eth_getTransactionReceipt", identity)
    block = ask(chain, "eth_getBlockByHash", receipt["blockHash"], True)
    assert block["transactions"] == [transaction]
    assert (receipt["status"], receipt["gasUsed"]) == ("0x1", hex(21_000))
    assert transaction["from"] == deploy.address_of(ANNA).lower()
    assert int(ask(chain, "eth_getBalance", "0x" + "77" * 20, "latest"), 16) == 1
    assert ask(chain, "eth_getTransactionReceipt", "0x" + "00" * 32) is None


def test_legacy_and_access_list_transactions_are_taken(chain: Chain) -> None:
    fields = {
        "chainId": 8453,
        "to": "0x" + "77" * 20,
        "value": 1,
        "gas": 30_000,
        "gasPrice": 3 * 10**9,
    }
    for nonce, extra in enumerate(({}, {"type": 1, "accessList": []})):
        raw = Account.sign_transaction(
            fields | {"nonce": nonce} | extra, ANNA.reveal()
        ).raw_transaction.hex()
        identity = ask(chain, "eth_sendRawTransaction", "0x" + raw)
        assert ask(chain, "eth_getTransactionReceipt", identity)["status"] == "0x1"
        assert ask(chain, "eth_getTransactionByHash", identity)["type"] == hex(nonce)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chainId": 1}, "invalid chain id: this is chain 8453"),
        ({"nonce": 5}, "nonce too high: next nonce 0"),
        ({"value": 10**22}, "insufficient funds for gas * price + value"),
        ({"gas": 10**9}, "exceeds block gas limit"),
    ],
)
def test_a_bad_transaction_is_refused_and_nothing_is_mined(
    chain: Chain, changes: dict[str, Any], message: str
) -> None:
    before = chain.block_number
    assert (
        refusal(chain, "eth_sendRawTransaction", signed(chain, ANNA, **changes))["message"]
        == message
    )
    assert chain.block_number == before
    assert ask(chain, "eth_sendRawTransaction", signed(chain, ANNA))  # the chain goes on


def test_a_transaction_sent_twice_is_refused(chain: Chain) -> None:
    raw = signed(chain, ANNA)
    ask(chain, "eth_sendRawTransaction", raw)
    assert refusal(chain, "eth_sendRawTransaction", raw)["message"] == "nonce too low: next nonce 1"


def test_a_reverting_transaction_is_mined_with_status_0(chain: Chain) -> None:
    receipt = deploy.opg(chain).send(ANNA, "mint", deploy.address_of(ANNA), 1, gas=100_000)
    assert receipt["status"] == 0
    assert receipt["logs"] == []


def test_without_a_gas_limit_a_refusal_costs_nothing(chain: Chain) -> None:
    balance = chain.balance(deploy.address_of(ANNA))
    with pytest.raises(Reverted) as refused:
        deploy.opg(chain).send(ANNA, "mint", deploy.address_of(ANNA), 1)
    assert refused.value.reason == "NotAdmin"
    assert chain.balance(deploy.address_of(ANNA)) == balance


def test_a_revert_carries_its_data(chain: Chain) -> None:
    token = deploy.opg(chain)
    data = "0x" + token.encode("transfer", deploy.address_of(BERT), 9).hex()
    error = refusal(
        chain,
        "eth_call",
        {"from": deploy.address_of(ANNA), "to": OPG_ADDRESS, "data": data},
        "latest",
    )
    assert error["code"] == 3
    assert error["data"].startswith(
        "0x" + keccak(text="InsufficientBalance(address,uint256,uint256)")[:4].hex()
    )


def test_an_endless_loop_ends_with_the_gas(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain.machine, "gas_limit", 200_000)
    loop = "0x" + "66" * 20
    chain.put_code(loop, bytes.fromhex("5b600056"))  # JUMPDEST PUSH1 0 JUMP
    assert refusal(chain, "eth_call", {"to": loop, "gas": hex(10**9)}, "latest")[
        "message"
    ].endswith("OutOfGas")


def test_contracts_calling_themselves_for_ever_are_stopped(chain: Chain) -> None:
    # Calls itself with all gas; DELEGATECALL's arguments are zeros and ADDRESS.
    endless = "0x" + "65" * 20
    chain.put_code(endless, bytes.fromhex("5f5f5f5f305af400"))
    answer = chain.handle({"id": 1, "method": "eth_call", "params": [{"to": endless}, "latest"]})
    # The innermost call fails and the outer ones succeed, or Python's own limit comes first.
    assert answer.get("result", answer.get("error", {}).get("code")) in ("0x", -32000)
    assert ask(chain, "eth_sendRawTransaction", signed(chain, ANNA))  # the chain goes on


def test_keys_are_not_shown_by_a_failing_transaction(chain: Chain) -> None:
    with pytest.raises(Exception) as failed:
        deploy.opg(chain).send(BERT, "approve", deploy.address_of(ANNA), 1)  # has no coin for gas
    assert "insufficient funds" in str(failed.value)
    shown = "".join(repr(f.frame.f_locals) for f in failed.traceback if "opg_magic" in str(f.path))
    assert BERT.reveal().hex() not in shown
    assert repr(BERT.reveal()) not in shown


# --------------------------------------------------------------------------------------------- logs


def test_logs_are_found_by_address_topics_and_range(chain: Chain) -> None:
    anna, bert = deploy.address_of(ANNA), deploy.address_of(BERT)
    token = deploy.opg(chain)
    token.send(ADMIN, "mint", anna, 10)
    first = chain.block_number
    token.send(ANNA, "transfer", bert, 3)
    token.send(ANNA, "approve", bert, 1)

    def amounts(**wanted: Any) -> list[int]:
        return [
            int(log["data"], 16) for log in ask(chain, "eth_getLogs", {"fromBlock": "0x0"} | wanted)
        ]

    assert amounts(address=OPG_ADDRESS) == [10, 3, 1]
    assert amounts(address=[OPG_ADDRESS, bert], topics=[TRANSFER]) == [10, 3]
    assert amounts(topics=[TRANSFER, word(anna)]) == [3]
    assert amounts(topics=[TRANSFER, None, word(anna)]) == [10]
    assert amounts(topics=[None, [word(anna), word(bert)], [word(bert)]]) == [3, 1]
    assert amounts(topics=[[], word(anna)]) == [3, 1]
    assert amounts(topics=[TRANSFER, word(anna), word(bert), word(bert)]) == []
    assert amounts(address=bert) == []
    assert amounts(toBlock=hex(first)) == [10]
    assert amounts(fromBlock=hex(first + 1), toBlock=hex(first + 1)) == [3]
    assert amounts(fromBlock="latest") == [1]
    assert amounts(toBlock=hex(10**6)) == [10, 3, 1]
    pinned = ask(chain, "eth_getBlockByNumber", hex(first), False)["hash"]
    assert [int(log["data"], 16) for log in ask(chain, "eth_getLogs", {"blockHash": pinned})] == [
        10
    ]


# ----------------------------------------------------------------------------------------- requests


def test_a_batch_is_answered_in_order_and_notifications_are_not(chain: Chain) -> None:
    request = [
        {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "id": 2, "method": "eth_nothing", "params": []},
        5,
        {"jsonrpc": "2.0", "id": 3, "method": "net_version"},
    ]
    answers = chain.handle(request)
    assert [a["id"] for a in answers] == [1, 2, None, 3]
    assert answers[0]["result"] == "0x2105"
    assert [answers[1]["error"]["code"], answers[2]["error"]["code"]] == [-32601, -32600]
    assert answers[3]["result"] == "8453"
    assert chain.handle([])["error"]["code"] == -32600


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_call", []),
        ("eth_call", ["x"]),
        ("eth_call", [{"to": "0x12"}, "latest"]),
        ("eth_call", [{"to": OPG_ADDRESS, "data": "zz"}, "latest"]),
        ("eth_call", [{"data": "0x00"}, "latest"]),
        ("eth_call", [{"to": OPG_ADDRESS}, "latest", {OPG_ADDRESS: {}}]),
        ("eth_getBlockByNumber", ["newest", False]),
        ("eth_getTransactionByHash", ["0x1"]),
        ("eth_sendRawTransaction", ["0x"]),
        ("eth_sendRawTransaction", ["0x02c0"]),
        ("eth_sendRawTransaction", ["0x00ff"]),
        ("eth_getLogs", ["all"]),
        ("eth_getLogs", [{"topics": "x"}]),
        ("eth_feeHistory", ["0x0", "latest"]),
    ],
)
def test_malformed_params_are_said_to_be_so(chain: Chain, method: str, params: list[Any]) -> None:
    assert refusal(chain, method, *params)["code"] == -32602


def test_fees_are_enough_for_the_next_block(chain: Chain, clock: Clock) -> None:
    history = ask(chain, "eth_feeHistory", "0x5", "latest", [50])
    assert (
        len(history["baseFeePerGas"])
        == len(history["gasUsedRatio"]) + 1
        == len(history["reward"]) + 1
    )
    price = int(ask(chain, "eth_gasPrice"), 16)
    tip = int(ask(chain, "eth_maxPriorityFeePerGas"), 16)
    assert price >= int(history["baseFeePerGas"][-1], 16) + tip
    ask(
        chain,
        "eth_sendRawTransaction",
        signed(chain, ANNA, maxFeePerGas=price, maxPriorityFeePerGas=tip),
    )


def test_threads_share_one_chain(chain: Chain) -> None:
    token, bert = deploy.opg(chain), deploy.address_of(BERT)
    threads = [
        threading.Thread(target=lambda: token.send(ADMIN, "mint", bert, 1)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert token.read("balanceOf", bert) == 8


def test_a_busy_chain_says_so_instead_of_blocking(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_module, "LOCK_SECONDS", 0.0)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with chain.machine.locked():
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    try:
        assert refusal(chain, "eth_blockNumber")["message"] == "the chain is busy"
    finally:
        done.set()
        holder.join()
    assert ask(chain, "eth_blockNumber")


def test_two_chains_in_one_process_keep_their_ids_and_precompiles_apart() -> None:
    from eth.vm.forks.shanghai.computation import ShanghaiComputation

    from opg_magic.simnet.chain.precompile import ADDRESS

    one, other = Chain(8453), Chain(10740, attestation_roots={"aa"})
    assert (one.w3.eth.chain_id, other.w3.eth.chain_id) == (8453, 10740)
    assert ADDRESS not in ShanghaiComputation._precompiles
