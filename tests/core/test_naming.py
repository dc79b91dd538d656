"""A model's name is checked before anything is paid: near names, aliases, models of one's own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from opg_magic.call.naming import default_model, model_for, near_names
from opg_magic.errors import ArgumentError, ConfigError
from opg_magic.network import simnet_client, simnet_model
from opg_magic.settings import files, prices
from opg_magic.settings.config import Settings
from opg_magic.weights import fetch


def settings_of(tmp_path: Path, text: str = "") -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(text, "utf-8")
    return Settings(environ={}, user_file=file, project_dir=tmp_path)


@pytest.fixture(autouse=True)
def no_simnet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simnet_client, "status", lambda: None)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("openai/gpt5", "openai/gpt-5"),
        ("gpt5", "openai/gpt-5"),
        ("OpenAI/GPT-5", "openai/gpt-5"),
        ("claude-haiku", "anthropic/claude-haiku-4-5"),
        ("anthropic/claude-sonet-4-6", "anthropic/claude-sonnet-4-6"),
        ("haiku", "anthropic/claude-haiku-4-5"),
        ("grok", "x-ai/grok-4"),
    ],
)
def test_an_unknown_model_is_refused_with_near_names(
    tmp_path: Path, asked: str, meant: str
) -> None:
    with pytest.raises(ArgumentError, match="Nothing was sent") as refused:
        model_for(asked, settings_of(tmp_path))
    assert repr(asked) in refused.value.message
    assert f"Did you mean {meant}" in refused.value.hint
    assert "%opg config unknown_models ask" in refused.value.hint


def test_a_name_that_is_like_none_is_told_where_all_are(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError) as refused:
        model_for("acme/zzzzqqq", settings_of(tmp_path))
    assert "%opg models" in refused.value.hint
    assert "Did you mean" not in refused.value.hint


def test_three_names_at_most_are_offered_and_each_exists() -> None:
    listed = prices.load().models
    for asked in ("gpt", "claude", "gemini", "g", "", "x" * 5000):
        near = near_names(asked, listed)
        assert len(near) <= 3 and set(near) <= set(listed)


@pytest.mark.parametrize(
    "known", ["openai/gpt-5", "gpt-5", "openai/gpt-4.1", "google/gemini-2.5-pro"]
)
def test_a_known_model_passes_with_and_without_its_provider(tmp_path: Path, known: str) -> None:
    assert model_for(known, settings_of(tmp_path)) == known


def test_no_name_is_the_model_in_the_settings_which_is_checked_too(tmp_path: Path) -> None:
    assert model_for(None, settings_of(tmp_path, 'model = "openai/o3"')) == "openai/o3"
    with pytest.raises(ArgumentError, match="gpt-55"):
        model_for(None, settings_of(tmp_path, 'model = "openai/gpt-55"'))


def test_a_model_that_the_list_does_not_have_can_be_asked_for(tmp_path: Path) -> None:
    lax = settings_of(tmp_path, 'unknown_models = "ask"')
    assert model_for("acme/new-1", lax) == "acme/new-1"
    own = tmp_path / "prices.json"
    own.write_text(
        json.dumps(
            {"as_of": "now", "source": "mine", "models": ["acme/new-1"], "usd_per_million": {}}
        )
    )
    listed = settings_of(tmp_path, f"prices_file = {json.dumps(str(own))}")
    assert model_for("acme/new-1", listed) == "acme/new-1"


def test_a_notebook_may_ask_for_an_unknown_model_and_make_no_alias(
    tmp_path: Path,
) -> None:
    settings = settings_of(tmp_path)
    settings.set("unknown_models", "ask")
    assert model_for("acme/new-1", settings) == "acme/new-1"
    for key in ("aliases", "templates"):
        with pytest.raises(ConfigError, match="only in your own settings"):
            settings.set(key, {"a": "{{cell}}"})


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a network, a runtime or weights, and no word of them in the environment."""
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPG_SIMNET_MODEL", raising=False)
    monkeypatch.setattr(simnet_model, "find_spec", lambda _: None)
    return tmp_path / "home"


@pytest.mark.parametrize("forwards", [True, False, None])
def test_hosts_that_forward_to_a_server_have_its_models(
    tmp_path: Path, nothing_here: Path, forwards: bool | None
) -> None:
    if forwards is not None:
        flags = ["--upstream", "http://127.0.0.1:1/v1"] if forwards else ["--scripted"]
        running(flags)
    if forwards:
        assert model_for("llama3", settings_of(tmp_path)) == "llama3"
        with pytest.raises(ArgumentError):
            model_for("llama3", settings_of(tmp_path), "opengradient")
    else:
        with pytest.raises(ArgumentError):
            model_for("llama3", settings_of(tmp_path))


def running(flags: list[str]) -> None:
    """A state file as a running network leaves it: this very process."""
    state = {"pid": os.getpid(), "run_id": "r", "answers": flags}
    simnet_client.state_file().write_text(json.dumps(state))


def test_where_a_model_runs_it_is_the_default_unless_one_is_set(
    tmp_path: Path, nothing_here: Path
) -> None:
    assert default_model(settings_of(tmp_path)) == "openai/gpt-5"
    running(["--model", "/somewhere/SmolLM2-135M-Instruct.Q4_1.gguf"])
    own = "huggingfacetb/smollm2-135m-instruct"
    assert default_model(settings_of(tmp_path)) == own
    assert model_for(None, settings_of(tmp_path)) == own
    assert default_model(settings_of(tmp_path), "opengradient") == "openai/gpt-5"
    assert default_model(settings_of(tmp_path, 'model = "openai/o3"')) == "openai/o3"
    # The kernel's own setting counts, even where it is the default's value.
    settings = settings_of(tmp_path)
    settings.set("model", "openai/gpt-5")
    assert default_model(settings) == "openai/gpt-5"


def test_closed_names_and_a_file_of_ones_own_are_known_on_the_simulated_network(
    tmp_path: Path, nothing_here: Path
) -> None:
    running(["--model", "/somewhere/My Model.gguf"])
    settings = settings_of(tmp_path)
    assert default_model(settings) == "local/my-model"
    for name in ("local/my-model", "openai/gpt-5", "huggingfacetb/smollm2-135m-instruct"):
        assert model_for(name, settings) == name
    with pytest.raises(ArgumentError):
        model_for("local/my-model", settings, "opengradient")


def test_weights_that_are_here_are_the_default_before_the_network_runs(
    tmp_path: Path, nothing_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = nothing_here / "weights"
    folder.mkdir(parents=True)
    with (folder / fetch.SMOLLM2.file_name).open("wb") as file:
        file.truncate(fetch.SMOLLM2.size)
    assert default_model(settings_of(tmp_path)) == "openai/gpt-5"  # nothing runs it
    monkeypatch.setattr(simnet_model, "find_spec", lambda _: object())
    assert default_model(settings_of(tmp_path)) == fetch.SMOLLM2.model
    monkeypatch.setenv("OPG_SIMNET_MODEL", "scripted")
    assert default_model(settings_of(tmp_path)) == "openai/gpt-5"
    monkeypatch.setenv("OPG_SIMNET_MODEL", "/elsewhere/other.gguf")
    assert default_model(settings_of(tmp_path)) == "local/other"
    monkeypatch.setenv("OPG_SIMNET_UPSTREAM", "http://127.0.0.1:1")
    assert default_model(settings_of(tmp_path)) == "openai/gpt-5"


def test_an_alias_stands_for_its_model(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, 'model = "@fast"\n[aliases]\nfast = "openai/gpt-5-mini"')
    assert model_for("@fast", settings) == model_for(None, settings) == "openai/gpt-5-mini"
    with pytest.raises(ArgumentError, match="no alias '@fats'") as refused:
        model_for("@fats", settings)
    assert refused.value.hint == "Did you mean @fast?"
    with pytest.raises(ArgumentError, match="no alias") as refused:
        model_for("@x", settings_of(tmp_path))
    assert "opg config aliases.NAME" in refused.value.hint


def test_an_alias_of_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="gpt-55"):
        model_for("@a", settings_of(tmp_path, '[aliases]\na = "openai/gpt-55"'))


# --------------------------------------------------------------------------------- the two settings


@pytest.mark.parametrize(
    "text",
    [
        'aliases = "fast"',
        "[aliases]\nfast = 5",
        '[aliases]\n"@fast" = "openai/o3"',
        '[aliases]\nfast = " "',
        '[templates]\nshort = "no place"',
    ],
)
def test_a_malformed_table_is_refused(tmp_path: Path, text: str) -> None:
    settings = settings_of(tmp_path, text)
    with pytest.raises(ConfigError, match=r"Invalid (aliases|templates)"):
        list(settings.rows())


def test_one_entry_is_written_and_the_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setattr(files.paths, "config_file", lambda: file)
    files.write_user("aliases.fast", "openai/gpt-5-mini")
    files.write_user("aliases.best", "anthropic/claude-opus-4-8")
    files.write_user("templates.short", "In one line:\n{{cell}}")
    settings = Settings(environ={}, user_file=file, project_dir=tmp_path)
    assert settings.get("aliases") == {
        "fast": "openai/gpt-5-mini",
        "best": "anthropic/claude-opus-4-8",
    }
    assert settings.get("templates") == {"short": "In one line:\n{{cell}}"}
    assert settings.shown("aliases", settings.get("aliases")) == "fast, best"
    before = file.read_bytes()
    for key, value in (("templates.x", "no place"), ("aliases.1", "a"), ("model.x", "a")):
        with pytest.raises(ConfigError):
            files.write_user(key, value)
    assert file.read_bytes() == before


def test_a_project_brings_no_alias(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.opg.aliases]\nfast = "openai/o3"')
    settings = settings_of(tmp_path)
    assert settings.get("aliases") == {}
    assert any("aliases: ignored" in note for note in settings.ignored())
