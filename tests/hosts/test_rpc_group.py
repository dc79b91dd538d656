"""Answers of several RPCs: who is left out, who ends the question, and what must agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from opg_magic.errors import NetworkUnavailable, RpcsDisagree, WrongChain
from opg_magic.network.rpc import Rpc, RpcError
from opg_magic.network.rpc_group import RpcGroup, agreed, check_contracts

Ask = Callable[[Rpc], Awaitable[Any]]


@pytest.fixture
async def group() -> AsyncIterator[RpcGroup]:
    urls = [f"http://{name}.test/v2/an-api-key" for name in "abc"]
    made = RpcGroup(urls, timeout=5, failure="the chain is unreachable", hint="Nothing was sent.")
    yield made
    await made.aclose()


def saying(**answers: Any) -> Ask:
    """What each RPC answers, by the letter of its name; an exception is raised."""

    async def ask(rpc: Rpc) -> Any:
        answer = answers[rpc.label[0]]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return ask


def by_letter(answers: dict[Rpc, Any]) -> dict[str, Any]:
    return {rpc.label[0]: answer for rpc, answer in answers.items()}


DOWN = NetworkUnavailable("RPC down")
WRONG = WrongChain("RPC serves chain 1")


@pytest.mark.parametrize("failure", [DOWN, RpcError("no such method")])
async def test_one_that_gives_no_answer_is_left_out(group: RpcGroup, failure: Exception) -> None:
    found = await group.ask_all(saying(a=1, b=failure, c=3))
    assert by_letter(found) == {"a": 1, "c": 3}


async def test_answers_come_in_the_order_of_the_settings(group: RpcGroup) -> None:
    async def ask(rpc: Rpc) -> str:
        for _ in range({"a": 3, "b": 2, "c": 1}[rpc.label[0]]):
            await asyncio.sleep(0)
        return rpc.label

    assert list(await group.ask_all(ask)) == list(group.rpcs)


async def test_where_every_one_must_answer_one_that_does_not_ends_it(group: RpcGroup) -> None:
    with pytest.raises(NetworkUnavailable) as refused:
        await group.ask_all(saying(a=1, b=DOWN, c=3), every=True)
    assert refused.value.message == "the chain is unreachable: RPC down"
    found = await group.ask_all(saying(a=1, b=2, c=3), every=True)
    assert by_letter(found) == {"a": 1, "b": 2, "c": 3}


async def test_none_answering_is_told_with_every_reason_and_no_url(group: RpcGroup) -> None:
    with pytest.raises(NetworkUnavailable) as refused:
        await group.ask_all(saying(a=DOWN, b=RpcError("pruned"), c=DOWN))
    assert refused.value.message == (
        "the chain is unreachable: RPC down; RPC b.test answers with an error: pruned; RPC down"
    )
    assert refused.value.hint == "Nothing was sent." and "api-key" not in str(refused.value)


@pytest.mark.parametrize("every", [True, False])
async def test_a_wrong_chain_ends_it_though_others_answer(group: RpcGroup, every: bool) -> None:
    with pytest.raises(WrongChain):
        await group.ask_all(saying(a=1, b=WRONG, c=3), every=every)
    with pytest.raises(WrongChain):
        await group.ask_first(saying(a=DOWN, b=WRONG, c=3))


async def test_an_error_of_our_own_is_not_taken_for_an_rpc_that_is_down(group: RpcGroup) -> None:
    with pytest.raises(ZeroDivisionError):
        await group.ask_all(saying(a=1, b=ZeroDivisionError(), c=3))
    with pytest.raises(ZeroDivisionError):
        await group.ask_first(saying(a=ZeroDivisionError(), b=2, c=3))


async def test_only_those_named_are_asked(group: RpcGroup) -> None:
    some = group.rpcs[1:]
    assert by_letter(await group.ask_all(saying(b=2, c=3), of=some)) == {"b": 2, "c": 3}
    assert await group.ask_first(saying(b=2), of=some) == 2


async def test_one_that_is_too_slow_for_all_it_is_asked_is_left_out(group: RpcGroup) -> None:
    async def ask(rpc: Rpc) -> str:
        if rpc.label[0] == "b":
            await asyncio.Event().wait()
        return rpc.label[0]

    assert by_letter(await group.ask_all(ask, within=0.05)) == {"a": "a", "c": "c"}
    with pytest.raises(
        NetworkUnavailable, match=r"RPC b\.test unreachable: no answer within 0\.05"
    ):
        await group.ask_all(ask, within=0.05, every=True)


async def test_a_timeout_that_is_not_the_groups_is_not_hidden(group: RpcGroup) -> None:
    with pytest.raises(TimeoutError):
        await group.ask_all(saying(a=1, b=TimeoutError(), c=3), within=60)


async def test_a_stop_reaches_every_question(group: RpcGroup) -> None:
    stopped: list[str] = []
    begun = asyncio.Event()

    async def ask(rpc: Rpc) -> None:
        try:
            if rpc.label[0] == "c":
                begun.set()
            await asyncio.Event().wait()
        finally:
            stopped.append(rpc.label[0])

    task = asyncio.create_task(group.ask_all(ask, within=60))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(stopped) == ["a", "b", "c"]


async def test_the_first_that_answers_is_enough_where_one_is_asked(group: RpcGroup) -> None:
    asked: list[str] = []

    async def ask(rpc: Rpc) -> str:
        asked.append(rpc.label[0])
        if rpc.label[0] == "a":
            raise DOWN
        return rpc.label

    assert await group.ask_first(ask) == "b.test"
    assert asked == ["a", "b"]
    with pytest.raises(NetworkUnavailable, match="RPC down; RPC down; RPC down"):
        await group.ask_first(saying(a=DOWN, b=DOWN, c=DOWN))


async def test_without_an_rpc_nothing_is_known() -> None:
    none = RpcGroup((), timeout=5, failure="the chain is unreachable")
    for ask in (none.ask_all, none.ask_first):
        with pytest.raises(NetworkUnavailable, match="no RPC is configured"):
            await ask(saying())


def test_what_all_say_is_the_answer(group: RpcGroup) -> None:
    a, b, c = group.rpcs
    assert agreed({a: [1], b: [1], c: [1]}, "a list") == [1]
    assert agreed({b: 5}, "a number") == 5


@pytest.mark.parametrize("liar", [0, 1, 2])
def test_one_that_differs_is_noticed_wherever_it_stands(group: RpcGroup, liar: int) -> None:
    said = {rpc: "lie" if n == liar else "truth" for n, rpc in enumerate(group.rpcs)}
    with pytest.raises(RpcsDisagree) as noticed:
        agreed(said, "block 7", shown=str.upper, hint="h")
    named = ("c" if liar == 2 else "b") + ".test"
    order = "LIE and TRUTH" if liar == 0 else "TRUTH and LIE"
    assert noticed.value.message == f"RPCs a.test and {named} disagree on block 7: {order}"
    assert noticed.value.hint == "h"


def test_no_answer_is_no_agreement() -> None:
    with pytest.raises(ValueError, match="no answer"):
        agreed({}, "anything")


@pytest.mark.parametrize(
    ("chain", "codes", "said"),
    [
        (8453, (b"\1", b"\1"), None),
        (1, (b"\1", b"\1"), "serves chain 1; the till is on chain 8453"),
        (8453, (b"\1", b""), "no contract at the proxy's address 0x02"),
        (8453, (b"", b"\1"), "no contract at the token's address 0x01"),
    ],
)
async def test_an_rpc_must_have_the_contracts_on_the_right_chain(
    monkeypatch: pytest.MonkeyPatch, chain: int, codes: tuple[bytes, bytes], said: str | None
) -> None:
    places = {"token": "0x01", "proxy": "0x02"}

    async def chain_id(self: Rpc) -> int:
        return chain

    async def code(self: Rpc, address: str) -> bytes:
        return dict(zip(places.values(), codes, strict=True))[address]

    monkeypatch.setattr(Rpc, "chain_id", chain_id)
    monkeypatch.setattr(Rpc, "code", code)
    rpc = Rpc("http://a.test/", timeout=1)
    if said is None:
        await check_contracts(rpc, 8453, places, needs="the till is on")
        return
    with pytest.raises(WrongChain, match=said):
        await check_contracts(rpc, 8453, places, needs="the till is on")
