"""The private route's small print: hosts without a usable key, schemas, strict policies, limits of
nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Phase, Prompt, VerdictStatus
from opg_magic.network.registry import RegistryReader, RegistrySnapshot
from opg_magic.notebook.commands.ledger import cost
from opg_magic.settings import paths
from opg_magic.simnet.host.conduct import Honest
from opg_magic.simnet.oblivious.relay import Relay
from opg_magic.wallet import os_keyring

PRIVATE = CallOptions(route="private")
PROMPT = Prompt(text="Is 97 prime?", model="openai/gpt-5")


def list_with(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any] | None, usable: int) -> None:
    """The registry lists the first ``usable`` hosts as they are, the others with another key."""
    honest = RegistryReader.snapshot

    async def snapshot(self: RegistryReader) -> RegistrySnapshot:
        found = await honest(self)
        hosts = [
            host
            if number < usable
            else replace(
                host,
                ohttp_config=None if change is None else {**(host.ohttp_config or {}), **change},
            )
            for number, host in enumerate(found.hosts)
        ]
        return replace(found, hosts=tuple(hosts))

    monkeypatch.setattr(RegistryReader, "snapshot", snapshot)


@pytest.mark.parametrize(
    "change",
    [None, {"kemId": 0x10}, {"kdfId": 2}, {"aeadId": 1}, {"publicKey": b"k" * 31}],
    ids=["none", "kem", "kdf", "aead", "short"],
)
def test_a_host_without_a_usable_key_is_left_out_with_its_reason(
    session: Session, relay: Relay, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any] | None
) -> None:
    list_with(monkeypatch, change, usable=1)
    answer = session.ask(PROMPT, PRIVATE)
    assert answer.verdict.outcome is VerdictStatus.VERIFIED
    with pytest.raises(errors.HostUnavailable) as caught:
        session.agree(PROMPT, PRIVATE, hosts=3)
    assert caught.value.message.count("cannot be asked privately: ") >= 2
    direct = session.ask(PROMPT, CallOptions(route="direct"))
    assert direct.verdict.outcome is VerdictStatus.VERIFIED


def test_a_host_is_asked_once_the_registry_lists_a_key_for_it(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.settings.set("registry_max_age", 0)
    with monkeypatch.context() as unlisted:
        list_with(unlisted, None, usable=0)
        with pytest.raises(errors.HostUnavailable, match="cannot be asked privately"):
            session.ask(PROMPT, PRIVATE)
    assert not session.engine(PRIVATE).hosts.set_aside
    assert session.ask(PROMPT, PRIVATE).verdict.outcome is VerdictStatus.VERIFIED


def test_where_no_host_has_a_usable_key_nothing_is_sent(
    session: Session, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_with(monkeypatch, {"aeadId": 1}, usable=0)
    made = len(relay.own.made)
    with pytest.raises(errors.HostUnavailable, match="cannot be asked privately"):
        session.ask(PROMPT, PRIVATE)
    assert len(relay.own.made) == made


@pytest.mark.parametrize("stream", [True, False])
def test_a_schema_goes_the_private_way(session: Session, stream: bool) -> None:
    schema = {"type": "object", "properties": {"number": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    prompt = Prompt(
        text="Give a number.",
        model="openai/gpt-5",
        extra={"response_format": wanted},
        stream=stream,
    )
    answer = session.ask(prompt, PRIVATE)
    assert isinstance(json.loads(answer.text), dict)
    assert answer.verdict.outcome is VerdictStatus.VERIFIED
    body = answer.receipt.document["request"]
    assert "response_format" in json.dumps(body)


def test_a_strict_policy_shows_no_text_before_the_verdict(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    class Unhurried(Honest):
        pause = 0.02

    for host in honest_simnet.hosts:
        honest_simnet._call(lambda host=host: host.play(Unhurried()))
    shown: list[str] = []
    answer = session.ask(
        PROMPT,
        CallOptions(route="private", policy="strict"),
        lambda progress: shown.append(progress.text) if progress.phase is Phase.ANSWER else None,
    )
    assert answer.verdict.outcome is VerdictStatus.VERIFIED
    assert not any(shown)


@pytest.mark.parametrize("key", ["max_calls_per_day", "max_tokens_per_day"])
def test_a_limit_of_0_allows_nothing(session: Session, relay: Relay, key: str) -> None:
    session.settings.set(key, 0)
    made = len(relay.own.made)
    with pytest.raises(errors.LimitExceeded, match=r"limit per UTC day is 0 "):
        session.ask(PROMPT, PRIVATE)
    assert len(relay.own.made) == made


def test_what_is_used_of_the_days_calls_and_tokens_is_told(session: Session) -> None:
    assert session.overview.spending().relayed is None
    usage = session.ask(PROMPT, PRIVATE).receipt.document["response"]["usage"]
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    used = session.overview.spending().relayed
    assert used is not None
    assert (used.calls, used.tokens) == (1, tokens)
    assert str(used) == f"1 of 500 calls, {tokens} of 2,000,000 tokens"
    kernel: Any = SimpleNamespace(session=lambda: session)
    shown = cost(kernel, [])
    assert shown.loc["calls through a relay, today", "limit"] == "500"
    assert shown.loc["their tokens", "settled, or claimed by hosts"] == str(tokens)


def test_the_status_tells_route_and_sign_in_without_opening_it(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session.overview.status()["sign-in"] == "not needed here"
    session.settings.set("network", "opengradient")
    status = session.overview.status()
    assert (status["route"], status["sign-in"]) == ("auto", "none: %opg login")
    paths.sign_in_file("opengradient").write_text(json.dumps({"place": "keyring", "mark": "1"}))
    monkeypatch.setattr(os_keyring, "read_entry", lambda account: pytest.fail("it was opened"))
    assert session.overview.status()["sign-in"] == "kept in the OS keyring"
