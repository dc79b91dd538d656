"""Weights that are run again over an answer: honest ones pass, every swap fails, nothing crashes.

The attacks 31 to 35 are on the model itself; in a whole network they are run in tests/simnet."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.ggufs import file, written
from support.local_model import MODEL, LocalModel, call, request
from support.runs import run_over
from support.signing import as_aws

from opg_magic.call.rerun import Reruns
from opg_magic.errors import ConfigError, WeightsError
from opg_magic.models import Basis, Claim, Prompt, Status, VerdictStatus
from opg_magic.shell.main import main
from opg_magic.verify import judge, weights
from opg_magic.verify.policy import DEFAULT, requiring
from opg_magic.weights import fetch, llama, runner, store, template, worker
from opg_magic.weights.check import Checker
from opg_magic.weights.runner import Runner

PROMPT = "Write three facts about honey bees."


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))


@pytest.fixture
def checker(runner: Runner, model: Path) -> Checker:
    """One that has the weights loaded and pinned."""
    store.trust(fetch.SMOLLM2.model, model)
    return Checker(start=lambda _: runner)


@pytest.fixture(scope="session")
def told(honest: LocalModel) -> str:
    """An honest answer to the prompt."""
    return honest.answer(request(PROMPT))


@pytest.fixture(scope="session")
def other(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other weights: the same file with a part of one layer overwritten."""
    path = tmp_path_factory.mktemp("other") / "other.gguf"
    shutil.copyfile(model, path)
    with path.open("r+b") as spoilt:
        spoilt.seek(path.stat().st_size * 6 // 10)
        spoilt.write(bytes(2_000_000))
    return path


def claim(checker: Checker, body: dict[str, Any], answer: str) -> Claim:
    verdict = judge(checker.run(call(body, answer)), trust=as_aws())
    return verdict.claims["weights"]


def test_an_honest_answer_passes_with_its_figures(checker: Checker, told: str) -> None:
    found = claim(checker, request(PROMPT), told)
    assert (found.status, found.basis) == (Status.PASSED, Basis.RE_RUN)
    assert found.facts["tokens"] >= 40
    assert found.facts["first"] >= 0.9 * found.facts["tokens"]
    assert found.facts["weights_sha256"] == fetch.SMOLLM2.sha256


def test_an_answer_that_ends_by_itself_is_judged_to_its_end(
    checker: Checker, honest: LocalModel
) -> None:
    body = request("What is the capital of France?")
    answer = honest.answer(body)
    evidence = checker.run(call(body, answer))
    assert evidence.weights is not None and evidence.weights.end
    assert judge(evidence, trust=as_aws()).claims["weights"].passed


def test_an_answer_drawn_at_a_temperature_passes(checker: Checker, honest: LocalModel) -> None:
    body = request(PROMPT, temperature=0.7)
    assert claim(checker, body, honest.answer(body, seed=3)).passed


def test_attack_31_and_32_other_weights(checker: Checker, other: Path) -> None:
    answer = LocalModel(other).answer(request(PROMPT))
    found = claim(checker, request(PROMPT), answer)
    assert (found.status, found.code) == (Status.FAILED, "other-weights")


def test_attack_33_hidden_system_prompt(checker: Checker, honest: LocalModel) -> None:
    hidden = [{"role": "system", "content": "Answer as a pirate who sells rum."}]
    body = request(PROMPT)
    answer = honest.answer(body, messages=hidden + body["messages"])
    assert claim(checker, body, answer).status is Status.FAILED


def test_attack_34_another_temperature(checker: Checker, honest: LocalModel) -> None:
    answer = honest.answer(request(PROMPT), temperature=1.3, seed=11)
    assert claim(checker, request(PROMPT), answer).status is Status.FAILED


def test_attack_35_an_edited_answer(checker: Checker, told: str) -> None:
    words = told.split(" ")
    words[len(words) // 2] = "Berlin"
    assert claim(checker, request(PROMPT), " ".join(words)).status is Status.FAILED
    cut = told[: len(told) // 2]
    assert claim(checker, request(PROMPT), cut).status is Status.FAILED


@pytest.mark.parametrize("stop", ["bees", "oney", "."])
def test_an_answer_that_ends_where_the_request_says_passes(
    checker: Checker, told: str, stop: str
) -> None:
    """Such an end is the request's own, and may fall within a token."""
    cut = told[: told.lower().index(stop, len(told) // 3)]
    assert claim(checker, request(PROMPT, stop=[stop]), cut).passed
    assert claim(checker, request(PROMPT), cut).status is Status.FAILED


def test_the_template_is_rendered_as_the_server_renders_it(
    runner: Runner, honest: LocalModel
) -> None:
    conversations = [
        [{"role": "user", "content": "Hi"}],
        [{"role": "system", "content": ""}, {"role": "user", "content": " two  spaces \n"}],
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "<|im_end|> b"},
            {"role": "user", "content": "ü 漢 🐝"},
        ],
    ]
    for messages in conversations:
        wanted = honest.post("/apply-template", {"messages": messages})["prompt"]
        assert template.render(runner.header.template or "", messages) == wanted


# ----------------------------------------------------------------------------- where nothing is run


def test_weights_that_are_not_here_are_missing_never_failed(tmp_path: Path) -> None:
    found = claim(Checker(), request(PROMPT), "Bees are insects.")
    assert (found.status, found.code) == (Status.MISSING, "not-run-here")
    path = written(tmp_path, file())
    store.trust(fetch.SMOLLM2.model, path)
    path.write_bytes(file(data=4096))
    found = claim(Checker(), request(PROMPT), "Bees are insects.")
    assert found.status is Status.MISSING and "not the file that was pinned" in str(found.reason)


@pytest.mark.parametrize(
    ("changed", "answer", "code"),
    [
        ({"model": "gpt-5"}, "hello", "closed"),
        ({"response_format": {"type": "json_object"}}, "{}", "forced"),
    ],
)
def test_closed_and_forced_answers_are_not_applicable(
    changed: dict[str, Any], answer: str, code: str
) -> None:
    found = claim(Checker(), request(PROMPT, **changed), answer)
    assert (found.status, found.code) == (Status.NOT_APPLICABLE, code)


@pytest.mark.parametrize("messages", [["hi"], [None], [[]]])
def test_a_hostile_request_says_nothing_about_the_answer(
    messages: list[Any], tmp_path: Path
) -> None:
    """Whatever stands in a stranger's receipt, the reader's command ends in words."""
    body = request(PROMPT, messages=messages)
    evidence = call(request(PROMPT), "Bees are insects.")
    told = replace(evidence.request, canonical=json.dumps(body), body=json.dumps(body))
    store.trust(fetch.SMOLLM2.model, written(tmp_path, file()))
    header = SimpleNamespace(template="{{ messages }}")
    started: Any = SimpleNamespace(alive=True, header=header, run=None)
    found = Checker(start=lambda _: started).run(replace(evidence, request=told))
    assert found.weights is None
    assert found.weights_not_run == ("not-run-here", "a message of the request is not an object")


def test_weights_alone_never_make_an_answer_verified(checker: Checker, told: str) -> None:
    ran = checker.run(call(request(PROMPT), told))
    unsigned = replace(ran, response=replace(ran.response, frame=None))
    for known in (ran, replace(ran, registry=None), unsigned):
        verdict = judge(replace(known, attestation=None), trust=as_aws())
        assert verdict.claims["weights"].passed
        assert verdict.outcome is not VerdictStatus.VERIFIED


def _pinned(sha256: str, folder: Path) -> None:
    """A pin whose file is no longer there."""
    entry = {"sha256": sha256, "path": str(folder / "gone.gguf")}
    pins = folder / "home" / "weights.json"
    pins.parent.mkdir(parents=True, exist_ok=True)
    pins.write_text(json.dumps({"acme/" + MODEL: entry}))


def test_a_run_in_the_receipt_is_not_the_readers_own(tmp_path: Path) -> None:
    """Where the reader cannot run the weights, what the receipt says stays the author's word."""
    asked = call(request(PROMPT), "Bees are insects.")
    ran = replace(asked, weights=run_over(asked, weights_sha256="ab" * 32))
    _pinned("ab" * 32, tmp_path)
    again = Checker().run(ran)
    assert again.weights == ran.weights and again.weights_not_run is not None
    found = judge(again, trust=as_aws(reader=True)).claims["weights"]
    assert (found.status, found.basis) == (Status.PASSED, Basis.RECORDED)


def test_a_run_of_other_weights_than_are_pinned_passes_nothing(tmp_path: Path) -> None:
    """The author may name any weights; under this name the reader has pinned others."""
    asked = call(request(PROMPT), "Bees are insects.")
    ran = replace(asked, weights=run_over(asked, weights_sha256="cd" * 32))
    _pinned("ab" * 32, tmp_path)
    again = Checker().run(ran)
    found = judge(again, trust=as_aws(reader=True)).claims["weights"]
    assert (found.status, found.code) == (Status.MISSING, "not-run-here")
    assert "the receipt's own run was of other weights" in str(found.reason)


# ------------------------------------------------------------------------------ figures of a run


def _row(*values: float) -> Any:
    np = pytest.importorskip("numpy")
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_weights_that_give_no_numbers_pass_nothing(spoilt: float) -> None:
    with pytest.raises(WeightsError, match="no numbers"):
        worker._Run([0]).keep(_row(1.0, spoilt, 0.5), 0, {"temperature": 0})


def test_a_token_that_a_model_rules_out_has_a_figure() -> None:
    run = worker._Run([1])
    run.keep(_row(1.0, float("-inf"), 0.5), 1, {"temperature": 0})
    assert (run.ranks, run.gaps) == ([3], [1000.0])


@pytest.mark.parametrize("temperature", [5e-324, 1e-200, 1e-9])
def test_a_temperature_near_zero_has_figures_that_are_numbers(temperature: float) -> None:
    job = {"temperature": temperature, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
    run = worker._Run([0, 1])
    for token in (0, 1):
        run.keep(_row(5.0, 4.5, -3.0), token, job)
    assert run.variance == 0 and 0 < run.surplus <= 1001


def test_no_sampler_has_more_chance_than_a_run_may_claim() -> None:
    """The judges bound the variance of a run: of all ways to spread 40 tokens, none has more."""
    job = {"temperature": 1.0, "top_k": weights.TOP_K, "top_p": 1.0, "min_p": 0.0}
    most, least = 0, 0
    for lead in range(0, 80):
        row = _row(lead / 10, *[0.0] * 60)
        surplus, variance, _ = worker.likelihood(row, 0, job)
        most, least = max(most, round(variance * 1e6)), min(least, round(surplus * 1e6))
    assert 4_200_000 < most <= weights._MOST_VARIANCE
    assert -weights._MOST_LIKELY <= least < -1_500_000


class _Spelling:
    """A model of few tokens; ``likes`` says what follows a text, with its gap to the best."""

    ending = (0,)
    pieces = (b"", b"a", b" ", b"b", b" b")

    def __init__(self, likes: dict[bytes, dict[int, float]]) -> None:
        self.likes = likes

    def piece(self, token: int) -> bytes:
        return self.pieces[token]

    def tokens(self, text: bytes, *, special: bool) -> list[int]:
        found: list[int] = []
        while text:
            longest = max((p for p in self.pieces if text.startswith(p)), key=len)
            found.append(self.pieces.index(longest))
            text = text[len(longest) :]
        return found

    def logits(self, tokens: list[int], start: int) -> Any:
        for index in range(start, len(tokens)):
            gaps = self.likes[b"|".join(self.pieces[one] for one in tokens[1 : index + 1])]
            yield index, _row(*(-gaps.get(token, 17.0) for token in range(len(self.pieces))))


@pytest.mark.parametrize(
    ("after_space", "tokens", "gaps"),
    [
        ({3: 0.0}, [1, 2, 3], [0.0, 0.0, 0.0, 0.0]),
        ({1: 0.0, 3: 16.9}, [1, 4], [0.0, 0.31, 0.0]),
    ],
    ids=["the model wrote it so", "a near tie"],
)
def test_a_text_is_cut_as_the_model_cuts_it_and_no_worse(
    after_space: dict[int, float], tokens: list[int], gaps: list[float]
) -> None:
    """A near tie of " early" and " " was followed into " " and "early": 16.9 nats for 0.31."""
    likes = {b"": {1: 0.0}, b"a": {2: 0.0, 4: 0.31}, b"a| ": after_space}
    likes |= {b"a| b": {0: 0.0}, b"a| |b": {0: 0.0}}
    spelling: Any = _Spelling(likes)
    run = worker._followed(spelling, [1], b"a b", {"temperature": 0, "end": True})
    assert run.tokens == tokens
    assert run.gaps == pytest.approx(gaps, abs=1e-5)


# ------------------------------------------------------------------------- before anything is paid


def test_required_weights_that_cannot_be_run_are_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = Prompt(text=PROMPT, model=fetch.SMOLLM2.model)
    required = requiring(DEFAULT, ["weights"])
    with pytest.raises(ConfigError, match=r"not on this machine\. Nothing was sent"):
        Reruns.admit(prompt, required)
    Reruns.admit(prompt, DEFAULT)
    Reruns.admit(replace(prompt, model="openai/gpt-5"), required)  # the verdict says so
    monkeypatch.setattr(llama, "version", lambda: llama.TRIED[-1])
    path = written(tmp_path, file())
    store.trust(fetch.SMOLLM2.model, path)
    Reruns.admit(prompt, required)
    path.write_bytes(file()[:-64])
    with pytest.raises(ConfigError, match="is cut"):
        Reruns.admit(prompt, required)


def test_weights_replaced_after_they_were_pinned_are_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama, "version", lambda: llama.TRIED[-1])
    prompt, required = Prompt(text=PROMPT, model="acme/m"), requiring(DEFAULT, ["weights"])
    path = written(tmp_path, file())
    store.trust("acme/m", path)
    Reruns.admit(prompt, required)
    path.write_bytes(file(data=4096))
    with pytest.raises(ConfigError, match=r"not the file that was pinned.*Nothing was sent"):
        Reruns.admit(prompt, required)


def test_a_name_that_the_check_could_not_tell_is_refused_first(tmp_path: Path) -> None:
    store.trust("a/m", written(tmp_path, file()))
    store.trust("b/m", written(tmp_path, file(data=256)))
    prompt = Prompt(text=PROMPT, model="a/m")
    with pytest.raises(ConfigError, match=r"are different weights.*Nothing was sent"):
        Reruns.admit(prompt, requiring(DEFAULT, ["weights"]))
    found = claim(Checker(), request(PROMPT, model="m"), "Bees are insects.")
    assert (found.status, found.code) == (Status.MISSING, "not-run-here")


def test_a_spoilt_file_of_pins_loses_no_answer_that_is_paid(tmp_path: Path) -> None:
    path = tmp_path / "home" / "weights.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{")
    found = claim(Checker(), request(PROMPT), "Bees are insects.")
    assert (found.status, found.code) == (Status.MISSING, "not-run-here")
    assert "weights.json cannot be read" in str(found.reason)


# ------------------------------------------------------------------------------ the child process


def test_a_child_that_crashes_is_an_error_in_words(model: Path) -> None:
    with Runner(model, threads=1) as started:
        os.kill(started._process.pid, signal.SIGSEGV)
        with pytest.raises(WeightsError, match="ended"):
            started.run({})
        with pytest.raises(WeightsError, match="ended"):
            started.run({})


def test_a_run_that_takes_too_long_is_stopped(model: Path, told: str) -> None:
    with Runner(model, threads=1) as started:
        started.timeout = 0.001
        with pytest.raises(WeightsError, match="stopped"):
            started.run({"prompt": "Hi", "answer": told, "temperature": 0, "end": False})
        assert not started.alive


def test_a_prompt_longer_than_the_model_takes_is_refused(runner: Runner) -> None:
    with pytest.raises(WeightsError, match="tokens"):
        runner.run({"prompt": "Hi " * 9000, "answer": "a", "temperature": 0, "end": False})
    assert runner.alive


def test_a_whole_header_over_spoilt_data_ends_in_words(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    with pytest.raises(WeightsError, match="cannot load"):
        Runner(written(tmp_path, file()))


@pytest.mark.parametrize(
    ("this", "that", "why"),
    [
        (b"tokenizer.chat_template", b"tokenizer.chat_templatf", "no chat template"),
        (b"{% for message", b"{% far message", "template cannot be used here"),
        (b"gpt2", b"zzzz", r"model\.gguf: .*unknown tokenizer: 'zzzz'\."),
        (None, b"\xff" * 200_000, "no numbers: the file is damaged"),
    ],
    ids=["no template", "a template that does not run", "another tokenizer", "damaged"],
)
def test_the_command_pins_no_file_that_nothing_can_be_checked_with(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    this: bytes | None,
    that: bytes,
    why: str,
) -> None:
    """Such files load; that no answer can be checked with them was found out after paying."""
    path = tmp_path / "model.gguf"
    shutil.copyfile(model, path)
    with path.open("r+b") as file:
        whole = path.stat().st_size * 6 // 10
        file.seek(whole if this is None else path.read_bytes().index(this))
        file.write(that)
    assert main(["models", "trust", str(path), "--as", "a/m"]) == 1
    assert re.search(why, capsys.readouterr().err)
    assert store.pinned("a/m") is None


def test_what_memory_cannot_hold_is_refused_before_a_child_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama, "version", lambda: llama.TRIED[-1])
    monkeypatch.setattr(runner, "_free_memory", lambda: 100_000)
    with pytest.raises(WeightsError, match="memory"):
        Runner(written(tmp_path, file()))


def test_an_untried_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "2099.1.1")
    with pytest.raises(WeightsError, match=r"2099\.1\.1"):
        llama.version()


def test_structs_of_another_layout_are_refused() -> None:
    class Native:
        def llama_context_default_params(self) -> Any:
            return llama._Parameters()

        def llama_batch_init(self, *_: int) -> Any:
            return llama._Batch()

    library = llama.Library.__new__(llama.Library)
    library.native, library.version = Native(), "x"  # type: ignore[assignment]
    with pytest.raises(WeightsError, match="other structs"):
        library._compare()


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{% for a in range(10**9) %}{% endfor %}",
        "{{ raise_exception('no') }}",
        "{{ 1 / 0 }}",
        "{% if %}",
    ],
)
def test_a_template_that_misbehaves_is_refused(source: str) -> None:
    with pytest.raises(WeightsError):
        template.render(source, [{"role": "user", "content": "x"}])
