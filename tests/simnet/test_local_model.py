"""A real model behind the simulated hosts: what it answers, what it costs, and what is refused."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.simnet import RunningSimnet, chat, client, isolated_home
from support.weights import smollm2

from opg_magic.errors import SimnetError, WeightsError
from opg_magic.settings import prices
from opg_magic.simnet.model import local
from opg_magic.simnet.model.interface import Reply
from opg_magic.simnet.model.local import LocalModel, examine
from opg_magic.simnet.model.scripted import ScriptedModel
from opg_magic.verify import verify_exchange
from opg_magic.weights import fetch

OWN = "huggingfacetb/smollm2-135m-instruct"
WIRE = "smollm2-135m-instruct"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city now",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
TIME = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}


def asked(text: str, **more: Any) -> dict[str, Any]:
    body = {"model": WIRE, "messages": [{"role": "user", "content": text}], "temperature": 0}
    return {**body, "max_tokens": 60, **more}


@pytest.fixture(scope="module")
def weights() -> Path:
    return smollm2()


@pytest.fixture(scope="module")
def running(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimnet]:
    """A whole network whose hosts answer with the real model."""
    with isolated_home(tmp_path_factory.mktemp("local-model-home")):
        made = RunningSimnet(model=LocalModel(examine(weights)), answers=("--model", str(weights)))
        with made:
            yield made


def reply(running: RunningSimnet, body: dict[str, Any], kind: Any = "chat") -> Reply:
    return running.run(running.net._model.reply(body, kind))


# --------------------------------------------------------------------------------- what it answers


def test_it_knows_a_capital_and_its_tokens_are_counted_by_the_tokeniser(
    running: RunningSimnet,
) -> None:
    said = reply(running, asked("What is the capital of France?"))
    assert said.text == "The capital of France is Paris."
    assert said.model == WIRE
    # <|im_start|>, system, newline, <|im_end|>, newline; the same around seven words and a mark.
    assert said.usage.completion_tokens in (7, 8)
    assert 15 < said.usage.prompt_tokens < 30
    longer = reply(running, asked("What is the capital of France? " * 2))
    assert longer.usage.prompt_tokens > said.usage.prompt_tokens


def test_the_same_request_gives_the_same_tokens_alone_and_at_once(running: RunningSimnet) -> None:
    body = asked("Name three colours.")
    alone = reply(running, body)

    async def together() -> list[Reply]:
        model = running.net._model
        return await asyncio.gather(
            model.reply(body, "chat"),
            model.reply(asked("Why is the sky blue?"), "chat"),
            model.reply(body, "chat"),
        )

    first, _, third = running.run(together())
    assert alone.text == first.text == third.text


def test_a_stream_is_the_same_text_in_pieces(running: RunningSimnet) -> None:
    body = asked("Name three colours.")

    async def streamed() -> list[Any]:
        return [delta async for delta in running.net._model.stream(body, "chat")]

    deltas = running.run(streamed())
    whole = reply(running, body)
    assert "".join(delta.text or "" for delta in deltas) == whole.text
    assert len([delta for delta in deltas if delta.text]) > 3
    assert deltas[-1].usage == whole.usage
    assert {delta.model for delta in deltas} == {WIRE}


def test_max_tokens_cuts_and_stop_is_never_applied(running: RunningSimnet) -> None:
    assert reply(running, asked("Count to 20.", max_tokens=5)).usage.completion_tokens == 5
    plain = reply(running, asked("What is the capital of France?"))
    stopped = reply(running, asked("What is the capital of France?", stop=["Paris"]))
    assert plain.text == stopped.text


def test_a_system_message_is_the_request_s_own(running: RunningSimnet) -> None:
    body = asked("What is the capital of Japan?")
    body["messages"] = [{"role": "system", "content": "Answer in one word."}, *body["messages"]]
    assert "Tokyo" in reply(running, body).text


def test_a_completion_goes_on_with_its_prompt(running: RunningSimnet) -> None:
    body = {"model": WIRE, "prompt": "Once upon a time", "temperature": 0, "max_tokens": 12}
    said = reply(running, body, "completion")
    assert said.usage.completion_tokens == 12
    assert said.text


# ---------------------------------------------------------------------------- schemas and functions


def test_a_schema_is_kept_to_by_grammar(running: RunningSimnet) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    said = reply(running, asked("A person called Ada, aged 36.", response_format=form))
    assert json.loads(said.text) == {"name": "Ada", "age": 36}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    named = {"name": "answer", "schema": schema, "strict": True}
    return {"type": "json_schema", "json_schema": named}


def test_an_answer_by_a_strict_schema_is_one_line(running: RunningSimnet) -> None:
    """Each line break and indent of it would be a token that is paid and waited for."""
    person = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "mood": {"anyOf": [{"$ref": "#/$defs/mood"}, {"type": "null"}]},
        },
        "required": ["name", "mood"],
        "additionalProperties": False,
        "$defs": {"mood": {"enum": ["happy", "sad"], "type": "string"}},
    }
    body = asked("A happy person called Ada.", response_format=strict(person))
    said = reply(running, body)
    held = json.loads(said.text)
    assert list(held) == ["name", "mood"]
    assert held["mood"] in ("happy", "sad", None)
    assert said.text == json.dumps(held)
    assert reply(running, body).text == said.text


def test_a_schema_with_words_of_its_own_still_binds(running: RunningSimnet) -> None:
    """llama.cpp drops a grammar that it cannot read, and says so to nobody."""
    digits = {
        "type": "object",
        "properties": {"year": {"type": "string", "pattern": "^[0-9]{4}$"}},
        "required": ["year"],
        "additionalProperties": False,
    }
    said = reply(running, asked("When was Ada born?", response_format=strict(digits)))
    assert re.fullmatch("[0-9]{4}", json.loads(said.text)["year"])


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}]
)
def test_a_function_is_called_with_arguments_of_its_schema(
    running: RunningSimnet, choice: Any
) -> None:
    body = asked("What is the weather in Nairobi?", tools=[WEATHER], tool_choice=choice)
    said = reply(running, body)
    (call,) = said.tool_calls
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Nairobi"}
    assert said.finish_reason == "tool_calls"
    assert said.usage.completion_tokens > 5
    assert reply(running, body).tool_calls == said.tool_calls


def test_of_several_functions_one_is_chosen(running: RunningSimnet) -> None:
    body = asked("What is the weather in Nairobi?", tools=[TIME, WEATHER])
    (call,) = reply(running, body).tool_calls
    assert call["function"]["name"] in ("get_weather", "get_time")


def test_no_function_is_called_unasked_or_after_its_answer(running: RunningSimnet) -> None:
    unwanted = asked("What is the capital of France?", tools=[WEATHER], tool_choice="none")
    assert "Paris" in reply(running, unwanted).text
    body = asked("What is the weather in Nairobi?", tools=[WEATHER])
    call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    body["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "23 degrees, sunny"},
    ]
    said = reply(running, body)
    assert said.tool_calls == ()
    assert said.text


# ------------------------------------------------------------------------------------- on the wire


@pytest.mark.parametrize("model", [WIRE, "gpt-5"])
async def test_hosts_sign_and_charge_what_it_said_under_its_own_and_other_names(
    running: RunningSimnet, model: str
) -> None:
    import time

    body = {**asked("What is the capital of France?"), "model": model}
    async with client(running) as c:
        sent = time.time()
        answer = await c.pay(body)
        key = running.listed(c.host).public_key
        assert c.session is not None
        charged = c.host.sessions._by_id[c.session].charged
    document = answer.json()
    assert document["model"] == WIRE
    verdict = verify_exchange(
        body, answer.text, signing_key=key, sent_at=sent, received_at=time.time()
    )
    assert verdict.failed_claims == ()
    price = prices.load(simulated=True).price(model)
    assert price is not None
    usage = document["usage"]
    usd = prices.usd(price, usage["prompt_tokens"], usage["completion_tokens"])
    token = running.network.token
    from opg_magic.simnet.host.steps import TOKEN_USD

    assert charged == prices.in_token(usd, TOKEN_USD, token).amount > 0


async def test_a_name_that_nobody_knows_is_refused_and_not_charged(running: RunningSimnet) -> None:
    async with client(running) as c:
        answer = await c.pay({**asked("x"), "model": "nobody/knows"})
        assert answer.status_code == 400
        assert c.session is not None
        assert c.host.sessions._by_id[c.session].charged == 0


async def test_its_own_name_is_answered_by_the_script_too(honest_simnet: RunningSimnet) -> None:
    async with client(honest_simnet) as c:
        answer = await c.pay({**chat("Is 97 prime?"), "model": WIRE})
    assert answer.status_code == 200
    assert answer.json()["model"] == "scripted-model"


async def test_a_prompt_that_is_too_long_fails_and_costs_nothing(running: RunningSimnet) -> None:
    async with client(running) as c:
        answer = await c.pay(asked("word " * (local.CONTEXT + 100)))
        assert answer.status_code == 500
        assert c.session is not None
        assert c.host.sessions._by_id[c.session].charged == 0


def test_the_status_says_what_answers(running: RunningSimnet, weights: Path) -> None:
    status = running.net.status()
    assert status["model"].startswith(OWN)
    assert "135 million parameters" in status["model"]
    assert status["answers"] == running.net.state["answers"] == ["--model", str(weights)]


async def test_only_the_hosts_may_ask_it(running: RunningSimnet) -> None:
    import httpx

    address = running.net._model._server.listening_address  # type: ignore[attr-defined]
    assert address.startswith("http://127.0.0.1:")
    async with httpx.AsyncClient() as http:
        answer = await http.post(address + "/v1/chat/completions", json=asked("hi"))
    assert answer.status_code == 401


# ------------------------------------------------------------------------------- what is refused


def test_a_file_that_is_not_whole_is_named_before_it_is_loaded(
    weights: Path, tmp_path: Path
) -> None:
    cut, text, empty = (tmp_path / name for name in ("cut.gguf", "text.gguf", "empty.gguf"))
    with weights.open("rb") as file:
        cut.write_bytes(file.read(5_000_000))
    text.write_text("hello")
    empty.touch()
    for path, reason in (
        (cut, "cut"),
        (text, "not a GGUF"),
        (empty, "not a GGUF"),
        (tmp_path / "missing.gguf", "cannot be read"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(WeightsError, match=reason):
            examine(path)


def test_a_file_that_memory_cannot_hold_is_named(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_free_memory", lambda: 100_000_000)
    with pytest.raises(SimnetError, match="too large: it needs about 498 MB") as refused:
        examine(weights)
    assert "--scripted" in str(refused.value.hint)


def changed(weights: Path, folder: Path, this: bytes, that: bytes) -> Path:
    """The file with the first such bytes of its header replaced."""
    other = folder / "other.gguf"
    shutil.copyfile(weights, other)
    with other.open("r+b") as file:
        file.seek(file.read(100_000).index(this))
        file.write(that)
    return other


async def test_an_architecture_that_llama_cpp_does_not_know_is_named(
    weights: Path, tmp_path: Path
) -> None:
    found = examine(changed(weights, tmp_path, b"llama", b"lxxxa"))
    assert found.model == "local/other"
    assert fetch.by_sha256(found.sha256) is None
    with pytest.raises(
        SimnetError, match=r"load other\.gguf: unknown model architecture"
    ) as refused:
        await LocalModel(found).open()
    assert "--scripted" in str(refused.value.hint)


async def test_a_tokeniser_that_llama_cpp_does_not_know_is_named(
    weights: Path, tmp_path: Path
) -> None:
    """It was put down to the architecture."""
    other = changed(weights, tmp_path, b"gpt2", b"zzzz")
    with pytest.raises(SimnetError, match=r"load other\.gguf: .*unknown tokenizer: 'zzzz'"):
        await LocalModel(examine(other)).open()


async def test_weights_that_give_no_numbers_answer_nobody(weights: Path, tmp_path: Path) -> None:
    """The network started, and the first call hung until its timeout, its charge unknown."""
    other = tmp_path / "other.gguf"
    shutil.copyfile(weights, other)
    with other.open("r+b") as file:
        file.seek(weights.stat().st_size * 6 // 10)
        file.write(b"\xff" * 200_000)
    with pytest.raises(SimnetError, match=r"other\.gguf gives no numbers: the file is damaged"):
        await LocalModel(examine(other)).open()


def test_the_script_is_still_what_a_network_has_by_itself() -> None:
    assert ScriptedModel().about == "scripted"
    assert not ScriptedModel().any_model
