"""What fails has a status of its own, says what it cost, and is never tried again by itself."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from support.serving import TOKEN, Served, behave
from support.simnet import RunningSimnet
from support.waiting import until

from opg_magic.errors import ConfigError
from opg_magic.models import Charge
from opg_magic.simnet.cheats import modes
from opg_magic.simnet.host.conduct import Honest

MODEL = "openai/gpt-5"
QUESTION = [{"role": "user", "content": "Is 97 prime?"}]
BODY = {"model": MODEL, "messages": QUESTION}


def failed(served: Served, **more) -> openai.APIStatusError:
    """The error of the real client, which may try again as often as it likes."""
    with pytest.raises(openai.APIStatusError) as caught:
        served.client(max_retries=2).chat.completions.create(
            model=more.pop("model", MODEL), messages=QUESTION, **more
        )
    return caught.value


def test_an_unknown_model_and_a_parameter_cost_nothing(served: Served) -> None:
    unknown = failed(served, model="gpt-55")
    assert isinstance(unknown, openai.NotFoundError) and unknown.code == "model_not_found"
    assert "opg config" in unknown.message and "%opg" not in unknown.message
    refused = failed(served, logprobs=True)
    assert isinstance(refused, openai.BadRequestError) and refused.param == "logprobs"
    assert served.receipts() == [] and served.session.ledger.count() == 0


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_over_the_limit_is_not_signed(serve, stream: bool) -> None:
    served: Served = serve(max_cost=1)
    refused = failed(served, stream=stream)
    assert (refused.status_code, refused.code) == (402, "limit_exceeded")
    assert "the limit per call" in refused.message
    assert served.session.ledger.count() == 0


def test_the_kernels_and_the_days_limits_hold(served: Served) -> None:
    served.session.settings.set("max_cost_per_kernel", "0")
    assert failed(served).status_code == 402
    served.session.settings.set("max_cost_per_kernel", "1")
    served.session.settings.set("max_cost_per_day", "0")
    assert failed(served).status_code == 402


def test_calls_per_day_on_the_private_route(serve) -> None:
    served: Served = serve(route="private")
    served.session.settings.set("max_calls_per_day", "1")
    served.client().chat.completions.create(model=MODEL, messages=QUESTION)
    refused = failed(served)
    assert isinstance(refused, openai.RateLimitError) and refused.code == "limit_exceeded"
    assert len(served.receipts()) == 1


def test_a_withheld_answer_names_its_receipt_and_is_not_asked_for_again(
    served: Served, honest_simnet: RunningSimnet
) -> None:
    behave(honest_simnet, modes.make("change-byte"))
    withheld = failed(served)
    receipt = served.receipt()
    assert (withheld.status_code, withheld.code) == (502, "answer_withheld")
    assert (
        withheld.response.headers["x-opg-receipt"] == receipt.id == withheld.body["opg"]["receipt"]
    )
    assert withheld.request_id == receipt.id
    assert withheld.response.headers["x-opg-verdict"] == "SIMULATED FAILED"
    assert receipt.text not in withheld.response.text
    assert withheld.body["opg"]["charge"] == "claimed"
    assert served.told == [line for line in served.told if receipt.id in line] and served.told


def test_an_unsigned_answer_is_not_handed_to_a_program(
    served: Served, honest_simnet: RunningSimnet
) -> None:
    behave(honest_simnet, modes.make("unsigned-stream"))
    assert failed(served).code == "answer_unverified"
    assert len(served.receipts()) == 1


def test_a_failing_host_and_no_host_at_all(served: Served, honest_simnet: RunningSimnet) -> None:
    behave(honest_simnet, modes.make("provider-down"))
    assert failed(served).code == "host_failure"
    assert len(served.receipts()) == 1


def test_no_host_that_may_be_asked(served: Served, honest_simnet: RunningSimnet) -> None:
    honest_simnet.cheat_everywhere("wrong-certificate")
    down = failed(served)
    assert (down.status_code, down.code) == (503, "host_unavailable")


def test_without_a_sign_in_the_way_to_one_is_named(serve) -> None:
    served: Served = serve(route="private")
    served.session._signed_in = lambda _network: None  # type: ignore[method-assign]
    refused = failed(served)
    assert isinstance(refused, openai.PermissionDeniedError) and refused.code == "sign_in_needed"
    assert "opg login" in refused.message


class Waits(Honest):
    """Sends a word, and no more until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()

    async def events(self, events):
        sent = 0
        async for event in super().events(events):
            yield event
            sent += 1
            if sent == 3:
                self.begun.set()
                await self.wait()

    async def wait(self):
        while not self.go.is_set():
            await asyncio.sleep(0.01)


class Hangs(Waits):
    """Takes the request, and does not answer until it is let go."""

    async def before_answer(self, host, request):
        self.begun.set()
        await self.wait()


@pytest.fixture
def waits(honest_simnet: RunningSimnet):
    conduct = Waits()
    behave(honest_simnet, conduct)
    yield conduct
    conduct.go.set()


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_client_that_goes_away_stops_its_call_which_is_recorded(
    served: Served, waits: Waits, api: str
) -> None:
    client = served.client()
    if api == "chat":
        chunks = client.chat.completions.create(stream=True, **BODY)
        assert next(iter(chunks)).choices[0].delta.content
        chunks.close()
    else:
        events = client.responses.create(model=MODEL, input="Is 97 prime?", stream=True)
        assert next(event for event in events if event.type == "response.output_text.delta").delta
        events.close()
    until(lambda: served.session.running == 0)
    receipt = served.receipt()
    assert receipt.cost.charge is Charge.UNKNOWN
    assert receipt.document["response"]["problem"]["code"] == "interrupted"
    assert any("the client has gone" in line for line in served.told)


def test_an_automatic_repetition_of_what_may_be_paid_is_refused(
    served: Served, honest_simnet: RunningSimnet
) -> None:
    hangs = Hangs()
    behave(honest_simnet, hangs)

    async def gives_up() -> None:
        client = openai.AsyncOpenAI(base_url=served.url, api_key=TOKEN)
        asking = asyncio.create_task(client.chat.completions.create(**BODY))
        await asyncio.to_thread(hangs.begun.wait, 60)
        asking.cancel()
        await asyncio.wait([asking])
        await client.close()

    asyncio.run(gives_up())
    # As its clients say that they ask again.
    refused = failed(served, extra_headers={"x-stainless-retry-count": "1"})
    until(lambda: served.session.running == 0)
    assert (refused.status_code, refused.code) == (409, "repeated")
    assert served.receipt().cost.charge is Charge.UNKNOWN
    # A person who asks again means it.
    hangs.go.set()
    served.client().chat.completions.create(**BODY)
    assert len(served.receipts()) == 2


def test_the_end_stops_calls_says_so_and_records_them(served: Served, waits: Waits) -> None:
    got: list[str] = []

    def ask() -> None:
        with (
            served.raw() as client,
            client.stream("POST", "/chat/completions", json={**BODY, "stream": True}) as response,
        ):
            try:
                got.extend(response.iter_lines())
            except httpx.RemoteProtocolError:
                got.append("cut")

    asking = threading.Thread(target=ask)
    asking.start()
    assert waits.begun.wait(30)
    until(lambda: served.session.running == 1)
    served.session.run(served.endpoint.stop())
    asking.join(30)
    receipt = served.receipt()
    assert receipt.cost.charge is Charge.UNKNOWN
    last = json.loads([line for line in got if line.startswith("data: ")][-1][6:])
    assert last["error"]["code"] == "stopped"
    assert last["error"]["opg"]["receipt"] == receipt.id
    assert got[-1] == "cut"
    with pytest.raises(httpx.ConnectError), served.raw() as client:
        client.get("/models")


def test_many_at_once_share_one_session_of_payment(served: Served) -> None:
    client = served.client()

    def ask(number: int) -> str:
        made = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": f"Is {number} prime?"}],
            stream=False,
        )
        return made.choices[0].message.content or ""

    numbers = [3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41]
    with ThreadPoolExecutor(len(numbers)) as pool:
        answers = list(pool.map(ask, numbers))
    assert all(str(number) in text for number, text in zip(numbers, answers, strict=True))
    receipts = served.receipts()
    assert len({receipt.id for receipt in receipts}) == len(numbers)
    nonces = {receipt.document["payment"]["authorisation"]["nonce"] for receipt in receipts}
    assert len(nonces) == 1


def test_no_secret_is_told_or_logged(
    served: Served,
    honest_simnet: RunningSimnet,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "the prompt nobody may log 42"
    messages = [{"role": "user", "content": secret}]
    with served.raw() as client:
        texts = [
            client.post("/chat/completions", json={**BODY, "messages": messages, **more}).text
            for more in ({}, {"stream": True}, {"logprobs": True})
        ]
        behave(honest_simnet, modes.make("foreign-key"))
        texts.append(client.post("/chat/completions", json={**BODY, "messages": messages}).text)
    captured = capfd.readouterr()
    logged = "\n".join([captured.out, captured.err, *served.told, *map(str, caplog.messages)])
    receipts = "".join(receipt.to_json() for receipt in served.receipts())
    for hidden in (TOKEN, honest_simnet.wallet_key.reveal().hex()):
        assert hidden not in logged + receipts + "".join(texts)
    assert secret not in logged
    assert len(served.told) == 3


def test_what_breaks_here_says_nothing_of_itself(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(*_: object) -> None:
        raise RuntimeError("words that may hold anything")

    monkeypatch.setattr(served.session, "ask_here", breaks)
    broken = failed(served)
    assert (broken.status_code, broken.code) == (500, "internal_error")
    assert "anything" not in broken.response.text


def test_a_file_of_prices_that_cannot_be_read_is_said(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object, **__: object) -> None:
        raise ConfigError("cannot read prices_file /nowhere")

    monkeypatch.setattr("opg_magic.settings.prices.load", unreadable)
    refused = failed(served)
    assert (refused.status_code, refused.code) == (400, "not_allowed")
    assert "prices_file" in refused.message


def test_a_client_that_is_gone_when_it_is_written_to_is_no_error(
    served: Served,
    waits: Waits,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def gone(*_: object) -> None:
        raise ConnectionResetError("Cannot write to closing transport")

    monkeypatch.setattr("opg_magic.endpoint.event_stream.EventStream._write", gone)
    with served.raw() as client:
        sent = client.post("/chat/completions", json={**BODY, "stream": True})
    assert sent.status_code == 499  # here the client is still there to see it
    until(lambda: served.session.running == 0)
    assert served.receipt().cost.charge is Charge.UNKNOWN
    assert any("the client has gone" in line for line in served.told)
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []
