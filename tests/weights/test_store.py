"""A pin is the user's own: a name stands for what the user trusted, by hash."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.ggufs import file, written

from opg_magic.errors import ConfigError, WeightsError
from opg_magic.settings import paths
from opg_magic.shell.main import main
from opg_magic.weights import fetch, llama, runner, store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_trusted_file_is_found_by_its_name_with_and_without_provider(tmp_path: Path) -> None:
    made = store.trust("acme/Model-1", written(tmp_path, file()))
    assert made.sha256 == fetch.sha256_of(tmp_path / "model.gguf")
    assert store.pinned("acme/Model-1") == made
    assert store.pinned("model-1") == made
    assert store.pinned("model-2") is None


def test_known_weights_are_pinned_before_they_are_here() -> None:
    pin = store.pinned("smollm2-135m-instruct")
    assert pin is not None and pin.sha256 == fetch.SMOLLM2.sha256 and pin.path is None


def test_the_users_own_pin_comes_first(tmp_path: Path) -> None:
    made = store.trust(fetch.SMOLLM2.model, written(tmp_path, file()), same_build=True)
    assert store.pinned(fetch.SMOLLM2.model) == made and made.same_build


def test_two_models_of_one_short_name_are_told_apart(tmp_path: Path) -> None:
    one = store.trust("a/m", written(tmp_path, file()))
    two = store.trust("b/m", written(tmp_path, file(data=256)))
    assert store.pinned("a/m") == one and store.pinned("b/m") == two


def test_a_file_that_is_no_model_is_not_trusted(tmp_path: Path, home: Path) -> None:
    with pytest.raises(WeightsError):
        store.trust("a/m", written(tmp_path, file()[:-1]))
    assert store.pinned("a/m") is None


@pytest.mark.parametrize("content", ["[]", "{", '{"a/m": {"sha256": 1}}', '{"a/m": []}'])
def test_a_spoilt_file_of_pins_is_an_error_never_no_pin(content: str) -> None:
    path = paths.config_file().with_name("weights.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    with pytest.raises(ConfigError):
        store.pinned("a/m")


def test_the_command_pins_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without llama.cpp it cannot be tried, which is said."""

    def none() -> str:
        raise WeightsError("xllamacpp is not installed.")

    monkeypatch.setattr(llama, "version", none)
    path = written(tmp_path, file())
    assert main(["models", "trust", str(path), "--as", "a/m", "--same-build"]) == 0
    pin = store.pinned("a/m")
    told = capsys.readouterr().out
    assert pin is not None and pin.same_build and pin.sha256 in told
    assert "not loaded to try them: xllamacpp is not installed." in told


def test_the_command_pins_no_file_that_cannot_be_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole header of an architecture that llama.cpp does not know, and one that is too large."""
    path = written(tmp_path, file())
    monkeypatch.setattr(llama, "version", lambda: llama.TRIED[-1])
    with monkeypatch.context() as small:
        small.setattr(runner, "_free_memory", lambda: 100_000)
        assert main(["models", "trust", str(path), "--as", "a/m"]) != 0
    assert "of memory" in capsys.readouterr().err
    pytest.importorskip("xllamacpp")
    assert main(["models", "trust", str(path), "--as", "a/m"]) != 0
    assert "cannot load model.gguf" in capsys.readouterr().err
    assert store.pinned("a/m") is None


def test_the_command_asks_for_a_name_and_for_weights_that_are_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "trust", str(written(tmp_path, file()))]) != 0
    assert "--as" in capsys.readouterr().err
    assert main(["models", "trust", "smollm2"]) != 0
    assert "opg models get smollm2" in capsys.readouterr().err
    for name, says in (("m" * 5_000, "No weights are known"), ("~nobody-here/a.gguf", "read")):
        assert main(["models", "trust", name, "--as", "a/m"]) != 0
        told = capsys.readouterr().err
        assert says in told and "Traceback" not in told


def test_a_short_name_of_two_models_is_not_guessed(tmp_path: Path) -> None:
    """Hosts sign the name without its provider: the first pin judged the other model's answers."""
    store.trust("a/m", written(tmp_path, file()))
    store.trust("c/m", tmp_path / "model.gguf")
    assert store.pinned("m") is not None  # one file under two names
    store.trust("b/m", written(tmp_path, file(data=256)))
    with pytest.raises(WeightsError, match="are different weights"):
        store.pinned("m")


def test_the_users_own_pin_comes_first_under_any_provider(tmp_path: Path) -> None:
    made = store.trust("me/smollm2-135m-instruct", written(tmp_path, file()))
    assert store.pinned("smollm2-135m-instruct") == made


def test_the_list_shows_what_the_user_trusts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, file())
    made = store.trust("a/m", path)
    assert main(["models", "list"]) == 0
    told = capsys.readouterr().out
    assert f"a/m: trusted by you, sha256:{made.sha256}" in told and str(path) in told
    assert "smollm2: " in told
    path.unlink()
    assert main(["models", "list"]) == 0
    assert "no longer where it was" in capsys.readouterr().out
