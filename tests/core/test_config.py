"""Settings: where each came from, and that a project can only tighten."""

import pytest

from opg_magic.errors import ConfigError
from opg_magic.settings.catalogue import OWN
from opg_magic.settings.config import Settings
from opg_magic.settings.files import write_user


@pytest.fixture
def make(tmp_path):
    def build(user="", project="", environ=None):
        (tmp_path / "user.toml").write_text(user)
        folder = tmp_path / "work" / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / "pyproject.toml").write_text(project)
        return Settings(environ=environ or {}, user_file=tmp_path / "user.toml", project_dir=folder)

    return build


def test_each_layer_overrides_the_one_below(make):
    settings = make(user='model = "a/user"')
    assert (settings.get("model"), settings.origin("model")) == (
        "a/user",
        "user file (config.toml)",
    )
    settings = make(user='model = "a/user"', environ={"OPG_MODEL": "a/env"})
    assert (settings.get("model"), settings.origin("model")) == ("a/env", "environment (OPG_MODEL)")
    settings.set("model", "a/kernel")
    assert (settings.get("model"), settings.origin("model")) == ("a/kernel", "this kernel")
    settings.unset("model")
    assert settings.get("model") == "a/env"


@pytest.mark.parametrize(
    ("key", "loose", "tight", "kept"),
    [
        ("max_cost_per_kernel", "1000", "0.1", (2 * 10**17, 10**17)),
        ("policy", "default", "audit", ("strict", "audit")),
        ("skew", 3000, 5, (10, 5)),
    ],
)
def test_a_kernel_tightens_and_never_loosens(make, key, loose, tight, kept):
    settings = make(user='policy = "strict"\nmax_cost_per_kernel = "0.2"\nskew = 10')
    settings.set(key, loose)
    assert settings.get(key) == kept[0]
    settings.set(key, tight)
    assert (settings.get(key), settings.origin(key)) == (kept[1], "this kernel, tightened")


@pytest.mark.parametrize("key", sorted(OWN))
def test_a_notebook_sets_nothing_that_is_the_users_own(make, key):
    with pytest.raises(ConfigError, match="only in your own settings"):
        make().set(key, "true")


def test_the_users_file_is_written_without_losing_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("OPG_HOME", str(tmp_path))
    (tmp_path / "config.toml").write_text('# mine\nmodel = "a/b"\n')
    write_user("max_cost_per_day", "0.5")
    write_user("facilitators", "0xaa 0xbb")
    text = (tmp_path / "config.toml").read_text()
    assert text.startswith('# mine\nmodel = "a/b"\n')
    settings = Settings(environ={}, project_dir=tmp_path)
    assert settings.get("max_cost_per_day") == 5 * 10**17
    assert settings.get("facilitators") == ("0xaa", "0xbb")
    with pytest.raises(ConfigError):
        write_user("timeout", "soon")


def test_a_project_tightens(make):
    settings = make(project='[tool.opg]\npolicy = "strict"\nmax_cost_per_kernel = "0.2"\nskew = 30')
    assert settings.get("policy") == "strict"
    assert settings.get("max_cost_per_kernel") == 2 * 10**17
    assert settings.get("skew") == 30
    assert settings.origin("policy") == "project (pyproject.toml), tightened"


def test_a_project_never_loosens(make):
    settings = make(
        user='policy = "audit"\nmax_cost_per_kernel = "0.2"\nskew = 10',
        project='[tool.opg]\npolicy = "default"\nmax_cost_per_kernel = "1000"\nskew = 3000',
    )
    assert settings.get("policy") == "audit"
    assert settings.get("max_cost_per_kernel") == 2 * 10**17
    assert settings.get("skew") == 10


@pytest.mark.parametrize(
    "line",
    [
        'registry_rpcs = ["https://evil.example"]',
        'payment_rpcs = ["https://evil.example"]',
        'facilitators = ["0x0000000000000000000000000000000000000001"]',
        'payees = ["0x0000000000000000000000000000000000000001"]',
        'pinned_pcrs = ["0x00"]',
        'wallet = "env"',
        'network = "opengradient"',
        "timeout = 1",
    ],
)
def test_what_is_the_users_alone_is_ignored_in_a_project_and_said(make, line):
    key = line.split()[0]
    settings = make(project=f"[tool.opg]\n{line}")
    assert settings.get(key) == make().get(key)
    assert any(key in note for note in settings.notes)


def test_limits_are_exact_integers_of_base_units(make):
    settings = make(
        user='max_cost_per_call = "0.000000000000000001"\nmax_cost_per_day = '
        "0.3\nmax_cost_per_kernel = 0"
    )
    assert settings.get("max_cost_per_call") == 1
    assert settings.get("max_cost_per_day") == 3 * 10**17
    assert settings.get("max_cost_per_kernel") == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_cost_per_call", "-1"),
        ("max_cost_per_call", True),
        ("timeout", "soon"),
        ("timeout", 3601),
        ("policy", "lax"),
        ("model", ""),
    ],
)
def test_a_malformed_value_is_refused_with_its_form(make, key, value):
    with pytest.raises(ConfigError, match=key):
        make().set(key, value)


def test_an_unknown_setting_suggests_the_near_one(make):
    with pytest.raises(ConfigError, match="Did you mean policy"):
        make().get("polcy")
    with pytest.raises(ConfigError, match="There is no setting"):
        make(user="modle = 1")


def test_rows_show_amounts_in_opg(make):
    rows = {key: (value, origin) for key, value, origin, _ in make().rows()}
    assert rows["max_cost_per_call"] == ("0.1 OPG", "default")
    assert rows["network"] == ("sim", "default")


def test_required_claims_add_up_from_all_places(make):
    settings = make(
        user='required_claims = ["payment"]',
        project='[tool.opg]\nrequired_claims = ["settlement"]',
        environ={"OPG_REQUIRED_CLAIMS": "agreement"},
    )
    assert settings.get("required_claims") == ("agreement", "payment", "settlement")
    assert settings.origin("required_claims") == "project (pyproject.toml), tightened"
    settings.set("required_claims", "payment")
    assert set(settings.get("required_claims")) == {"payment", "agreement", "settlement"}


def test_a_notebook_cannot_take_a_required_claim_away(make):
    settings = make(user='required_claims = ["payment"]')
    settings.set("required_claims", "")
    assert settings.get("required_claims") == ("payment",)
    assert settings.origin("required_claims") == "user file (config.toml)"
    assert make().get("required_claims") == ()


def test_a_claim_that_there_is_not_is_refused(make):
    with pytest.raises(ConfigError, match="a list of claims"):
        make(user='required_claims = ["truth"]').get("required_claims")


def test_an_old_file_that_still_consents_to_publishing_is_read_and_the_setting_ignored(make):
    settings = make(
        user='allow_public_settlement = true\nmodel = "a/b"',
        environ={"OPG_ALLOW_PUBLIC_SETTLEMENT": "1"},
    )
    assert settings.get("model") == "a/b"
    assert any("allow_public_settlement: ignored" in note for note in settings.notes)
    assert "allow_public_settlement" not in {key for key, *_ in settings.rows()}
    for change in (
        settings.get,
        lambda key: settings.set(key, "true"),
        lambda key: write_user(key, "true"),
    ):
        with pytest.raises(ConfigError, match="no longer exists"):
            change("allow_public_settlement")
