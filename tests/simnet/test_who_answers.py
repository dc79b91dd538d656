"""Who answers on the simulated network: flags, environment, weights, script; servers offered."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from opg_magic.errors import SimnetError, WeightsError
from opg_magic.network import simnet_client, simnet_model
from opg_magic.network.simnet_model import Choice, choose
from opg_magic.simnet.process import command, supervisor
from opg_magic.weights import fetch


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    for name in (simnet_model.MODEL, simnet_model.UPSTREAM):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(simnet_model, "find_spec", lambda _: object())
    return tmp_path / "home"


def weights_in(home: Path) -> Path:
    """A file with the name and size of the weights."""
    path = home / "weights" / fetch.SMOLLM2.file_name
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(fetch.SMOLLM2.size)
    return path


# ------------------------------------------------------------------------------------- the choice


def test_without_a_word_the_weights_that_are_here_answer_else_the_script(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose() == Choice()
    here = weights_in(home)
    assert choose() == Choice(weights=here)
    assert choose().model == fetch.SMOLLM2.model
    monkeypatch.setattr(simnet_model, "find_spec", lambda _: None)
    assert choose() == Choice()


def test_choosing_makes_no_folder(home: Path) -> None:
    choose()
    assert not home.exists()


def test_a_flag_goes_before_the_environment_and_that_before_the_weights(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights_in(home)
    monkeypatch.setenv(simnet_model.MODEL, "scripted")
    assert choose() == Choice()
    monkeypatch.setenv(simnet_model.MODEL, str(tmp_path / "a.gguf"))
    assert choose() == Choice(weights=tmp_path / "a.gguf")
    monkeypatch.setenv(simnet_model.UPSTREAM, "http://127.0.0.1:1")
    assert choose() == Choice(upstream="http://127.0.0.1:1")
    assert choose(scripted=True) == Choice()
    assert choose(model="b.gguf") == Choice(weights=Path.cwd() / "b.gguf")
    assert choose(upstream="http://127.0.0.1:2").flags == ("--upstream", "http://127.0.0.1:2")


def test_without_the_runtime_a_file_is_refused_with_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simnet_model, "find_spec", lambda _: None)
    with pytest.raises(SimnetError, match="xllamacpp is not installed") as refused:
        choose(model="a.gguf")
    assert "--only-binary" in str(refused.value.hint)
    assert "--scripted" in str(refused.value.hint)


def test_the_script_says_how_to_get_a_real_model(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = simnet_model.how_to_get_a_real_one()
    assert "opg models get smollm2" in said
    assert "pip install" not in said
    assert "135 million parameters, 93 MB" in said
    weights_in(home)
    assert "opg models get" not in simnet_model.how_to_get_a_real_one()
    monkeypatch.setattr(simnet_model, "find_spec", lambda _: None)
    assert simnet_model.INSTALL in simnet_model.how_to_get_a_real_one()


# ------------------------------------------------------------------------------------- the command


def test_the_three_flags_exclude_each_other(home: Path) -> None:
    for pair in (["--scripted", "--model", "a"], ["--upstream", "u", "--scripted"]):
        with pytest.raises(SystemExit):
            command.parser().parse_args(["up", *pair])


def test_serve_is_told_what_up_chose(home: Path) -> None:
    here = weights_in(home)
    parser = command.parser()
    for given, wanted in (
        ([], Choice(weights=here)),
        (["--scripted"], Choice()),
        (["--upstream", "http://127.0.0.1:1"], Choice(upstream="http://127.0.0.1:1")),
    ):
        flags = command.serve_flags(parser.parse_args(["up", *given]))
        assert command.chosen(parser.parse_args(["serve", *flags])) == wanted


def test_a_broken_file_is_refused_before_anything_starts(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "up", lambda **_: pytest.fail("a process was started"))
    (tmp_path / "a.gguf").write_text("no model")
    assert command.main(["up", "--model", str(tmp_path / "a.gguf")]) == 1
    assert capsys.readouterr().err.strip() == "a.gguf is not a GGUF file."


def test_serving_a_broken_file_leaves_the_reason_in_the_log(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.gguf"
    file.write_text("no model")
    assert supervisor.serve(choice=Choice(weights=file)) == 1
    assert capsys.readouterr().err.strip() == "Not started: a.gguf is not a GGUF file."
    with pytest.raises(WeightsError):
        supervisor._model(Choice(weights=file), 0.0)


# ------------------------------------------------------------------------------- servers that run


@pytest.fixture
def server() -> Iterator[Any]:
    """A server on loopback that lists two models; what was asked of it is kept."""
    asked: list[tuple[str, str]] = []
    document: Any = {"data": [{"id": "llama3.2:1b"}, {"id": "qwen3"}]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.command, self.path))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(self.server.document).encode())  # type: ignore[attr-defined]

        def log_message(self, *_: Any) -> None:
            pass

    running = HTTPServer(("127.0.0.1", 0), Handler)
    running.document = document  # type: ignore[attr-defined]
    running.asked = asked  # type: ignore[attr-defined]
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


def test_a_server_that_runs_here_is_named_and_only_its_list_is_asked_for(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = server.server_address[1]
    monkeypatch.setattr(simnet_model, "_USUAL", (("Ollama", port), ("vLLM", 1)))
    (found,) = simnet_model.servers()
    assert found == simnet_model.Server(
        "Ollama", f"http://127.0.0.1:{port}", ("llama3.2:1b", "qwen3")
    )
    assert server.asked == [("GET", "/v1/models")]


@pytest.mark.parametrize("document", [[], {}, {"data": 5}, {"data": [{"name": "x"}]}, None])
def test_whatever_else_answers_on_that_port_is_not_named(
    server: Any, monkeypatch: pytest.MonkeyPatch, document: Any
) -> None:
    server.document = document
    monkeypatch.setattr(simnet_model, "_USUAL", (("Ollama", server.server_address[1]),))
    assert list(simnet_model.servers()) == []


def test_the_status_offers_it_and_starts_with_the_script_all_the_same(
    home: Path,
    server: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = server.server_address[1]
    monkeypatch.setattr(simnet_model, "_USUAL", (("Ollama", port),))
    assert choose() == Choice()
    status = {
        "run_id": "r", "pid": 1, "model": "scripted", "answers": ["--scripted"], "pace": 1,
        "terms": {"name": "april", "cap": 10**17, "deadline": 300}, "settle_idle": 100,
        "hosts": [],
    }  # fmt: skip
    command._print_status(status)
    said = capsys.readouterr().out
    url = f"http://127.0.0.1:{port}"
    assert f"Ollama runs here (llama3.2:1b, qwen3): opg simnet up --upstream {url}" in said
    assert "opg models get smollm2" in said
    command._print_status({**status, "model": url, "answers": ["--upstream", url]})
    said = capsys.readouterr().out
    assert "Ollama runs here" not in said
    assert "opg models get" not in said


def test_the_background_process_gets_the_word_of_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(simnet_model.MODEL, "scripted")
    assert simnet_client.clean_environment()[simnet_model.MODEL] == "scripted"
