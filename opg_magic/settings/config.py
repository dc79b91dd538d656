"""Settings, and where each came from: flag > this kernel > environment > user file > default.

A project's ``pyproject.toml`` (``[tool.opg]``, looked for upwards from the working folder) came
with the work, so it can only tighten: a stricter policy, more required claims, lower limits, a
smaller skew.  RPCs, addresses, wallet and consents are the user's alone."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from opg_magic.errors import ConfigError
from opg_magic.models.networks import OPG_DECIMALS, SIM
from opg_magic.models.proxy import Proxy, read_proxy
from opg_magic.settings import environment, paths

Converter = Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a non-empty text")
    return value.strip()


def _opg(value: Any) -> int:
    from opg_magic.models import parse_units

    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("an amount of OPG, such as 0.5")  # noqa: TRY004
    try:
        # A TOML float is meant as written: its shortest decimal form, not its binary neighbour.
        return parse_units(
            f"{Decimal(str(value)):f}" if isinstance(value, float) else str(value), OPG_DECIMALS
        )
    except ValueError:
        raise ValueError("an amount of OPG, such as 0.5") from None


def _seconds(low: float, high: float) -> Converter:
    def convert(value: Any) -> float:
        problem = f"a number of seconds from {low:g} to {high:g}"
        if isinstance(value, bool):
            raise ValueError(problem)  # noqa: TRY004
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(problem) from None
        if not low <= number <= high:
            raise ValueError(problem)
        return number

    return convert


def _one_of(*words: str) -> Converter:
    def convert(value: Any) -> str:
        if value not in words:
            raise ValueError("one of " + ", ".join(words))
        return str(value)

    return convert


def _list(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part for part in value.replace(",", " ").split() if part]
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) and v for v in value):
        raise ValueError("a list of texts")
    return tuple(value)


def _claims(value: Any) -> tuple[str, ...]:
    from opg_magic.models import CLAIM_NAMES

    names = _list(value)
    if not set(names) <= set(CLAIM_NAMES):
        raise ValueError("a list of claims (" + ", ".join(CLAIM_NAMES) + ")")
    return tuple(dict.fromkeys(names))


def _proxy(value: Any) -> Proxy:
    return read_proxy(value)


def _union(mine: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*mine, *theirs)))


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: how it is read, its default, whether a project may tighten it (and how), and its
    help line.

    ``gathered``: every place adds to the others by ``tighten``, instead of the first that names it
    counting alone."""

    key: str
    convert: Converter
    default: Any
    help: str
    tighten: Callable[[Any, Any], Any] | None = None
    amount: bool = False
    gathered: bool = False
    #: Whether a malformed value is repeated in the error; not where a password may stand in it.
    echoed: bool = True
    #: Replaces the field of the same name in a real network's profile.
    of_network: bool = False
    #: Set only in the user's own file or environment: a notebook may be a stranger's.
    own: bool = False


_POLICY_ORDER = ("default", "strict", "audit")


def _stricter(mine: str, theirs: str) -> str:
    return max(mine, theirs, key=_POLICY_ORDER.index)


OPTIONS: tuple[Option, ...] = (
    Option("network", _text, SIM, "which network answers: sim or opengradient"),
    Option("model", _text, "openai/gpt-5", "model asked for when a cell names none"),
    Option(
        "policy",
        _one_of(*_POLICY_ORDER),
        "default",
        "which claims must pass: default, strict or audit",
        _stricter,
    ),
    Option(
        "required_claims",
        _claims,
        (),
        "claims that must pass besides the policy's; all places add up",
        _union,
        gathered=True,
    ),
    Option(
        "timeout",
        _seconds(1, 3600),
        120.0,
        "seconds until a call is given up; a payment's deadline may leave less",
    ),
    Option(
        "max_deadline",
        _seconds(60, 3600),
        600.0,
        "longest deadline of a payment in seconds; longer is cut",
        min,
    ),
    Option(
        "session_idle",
        _seconds(5, 600),
        None,
        "seconds after which hosts settle (empty: the network's own)",
        of_network=True,
        own=True,
    ),
    Option(
        "max_cost_per_call",
        _opg,
        10**17,
        "OPG that one call may put at risk; 0 means nothing",
        min,
        amount=True,
    ),
    Option(
        "max_cost_per_kernel", _opg, 10**18, "OPG that one kernel may put at risk", min, amount=True
    ),
    Option(
        "max_cost_per_day",
        _opg,
        5 * 10**18,
        "OPG that all kernels may put at risk in a UTC day",
        min,
        amount=True,
    ),
    Option("skew", _seconds(0, 3600), 300.0, "seconds that a host's clock may be off", min),
    Option(
        "registry_max_age",
        _seconds(0, 1800),
        60.0,
        "seconds that a registry reading may be used again",
        min,
    ),
    Option(
        "attestation_max_age",
        _seconds(0, 86400),
        60.0,
        "seconds that an attestation may be used again",
        min,
    ),
    Option(
        "wallet",
        _one_of("auto", "environment", "keystore", "keyring"),
        "auto",
        "where the key of a real network is",
        own=True,
    ),
    Option(
        "registry_rpcs",
        _list,
        (),
        "RPC URLs of the registry chain (empty: the network's own)",
        of_network=True,
        own=True,
    ),
    Option(
        "payment_rpcs",
        _list,
        (),
        "RPC URLs of the payment chain (empty: the network's own)",
        of_network=True,
        own=True,
    ),
    Option(
        "facilitators",
        _list,
        (),
        "addresses that may settle payments, pinned by you",
        of_network=True,
        own=True,
    ),
    Option(
        "payees",
        _list,
        (),
        "addresses that may be paid besides a host's registered one, pinned by you",
        of_network=True,
        own=True,
    ),
    Option(
        "settlement_relay",
        _text,
        None,
        "contract that puts hashes on record (empty: the network's own)",
        of_network=True,
        own=True,
    ),
    Option(
        "settlement_senders",
        _list,
        (),
        "addresses whose batches count, pinned by you",
        of_network=True,
        own=True,
    ),
    Option(
        "blob_aggregators",
        _list,
        (),
        "URLs that batches are fetched from",
        of_network=True,
        own=True,
    ),
    Option(
        "proxy",
        _proxy,
        None,
        "HTTP proxy to hosts and RPCs, as http://name:port; never for this machine",
        echoed=False,
        of_network=True,
        own=True,
    ),
    Option("pinned_pcrs", _list, (), "PCR hashes that you trust by your own review", own=True),
    Option(
        "prices_file", _text, None, "JSON file that overrides the built-in price list", own=True
    ),
)
_BY_KEY = {option.key: option for option in OPTIONS}

#: Settings of earlier versions.  A file that still names one is read all the same, with the reason
#: as a note.
RETIRED = {
    "allow_public_settlement": "nothing is published in plain text any more: individual settlement "
    "was removed",
}

#: The settings that replace fields of a real network's profile.
NETWORK_KEYS = tuple(option.key for option in OPTIONS if option.of_network)

#: The settings that a notebook cannot change.
OWN = frozenset(option.key for option in OPTIONS if option.own)


def option(key: str) -> Option:
    """The option of that name; ConfigError with a suggestion if there is none."""
    key = key.replace("-", "_")
    if key in RETIRED:
        raise ConfigError(
            f"The setting {key} no longer exists: {RETIRED[key]}.",
            hint="Remove it from config.toml.",
        )
    found = _BY_KEY.get(key)
    if found is None:
        near = get_close_matches(key, _BY_KEY, n=1)
        hint = f"Did you mean {near[0]}?" if near else "See: %opg config"
        raise ConfigError(f"no setting is named {key!r}", hint=hint)
    return found


class Settings:
    """The settings in force: files as read once, the environment as it was when the process
    started.

    :meth:`set` changes this kernel only; what a notebook writes into the environment can only
    tighten."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        user_file: Path | None = None,
        project_dir: Path | None = None,
    ) -> None:
        self._at_start = environment.get if environ is None else environ.get
        self._now = environment.now if environ is None else environ.get
        self._user_file = _own_file() if user_file is None else user_file
        self._user = _read_toml(self._user_file)
        self._project_file, self._project = _project_table(
            _here() if project_dir is None else project_dir
        )
        self._kernel: dict[str, Any] = {}
        self.notes: list[str] = []
        for key in self._user:
            if key in RETIRED:
                self.notes.append(f"config.toml {key}: ignored, {RETIRED[key]}")
            else:
                option(key)
        if "proxy" not in self._user and not self._at_start("OPG_PROXY"):
            variables = os.environ if environ is None else environ
            ignored = [
                name for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY") if variables.get(name)
            ]
            self.notes += [
                f"{name} is set and not used: a proxy is your own setting (opg config proxy URL)"
                for name in ignored[:1]
            ]
        for key in self._project:
            if key not in _BY_KEY or _BY_KEY[key].tighten is None:
                self.notes.append(
                    f"pyproject.toml [tool.opg] {key}: ignored, a project can only tighten"
                )

    def reread_limits(self) -> bool:
        """Read the limits in the user's own file again; True if one in force rose.  Nothing else is
        read anew."""
        from opg_magic.settings.limits import SETTINGS

        before = [self.get(key) for key in SETTINGS.values()]
        fresh = _read_toml(self._user_file)
        self._user = {k: v for k, v in self._user.items() if k not in SETTINGS.values()} | {
            k: v for k, v in fresh.items() if k in SETTINGS.values()
        }
        return any(self.get(key) > was for key, was in zip(SETTINGS.values(), before, strict=True))

    def reload(self) -> None:
        """Read the user's file again."""
        self._user = _read_toml(self._user_file)

    def get(self, key: str) -> Any:
        """The value in force, converted."""
        return self._resolve(option(key))[0]

    def origin(self, key: str) -> str:
        """Where the value in force comes from, in words."""
        return self._resolve(option(key))[1]

    def set(self, key: str, value: Any) -> None:
        """Set for this kernel, which can tighten what the user's own settings demand and never
        loosen it.

        ConfigError if the value is malformed, or the setting is the user's own (:data:`OWN`).
        """
        found = option(key)
        if found.key in OWN:
            raise ConfigError(
                f"{found.key} is set in your own settings alone, never by a notebook",
                hint=f"In a shell: opg config {found.key} VALUE (or the environment: "
                f"OPG_{found.key.upper()}).",
            )
        self._kernel[found.key] = _convert(found, value, "this kernel")

    def unset(self, key: str) -> None:
        """Forget what was set for this kernel."""
        self._kernel.pop(option(key).key, None)

    def ignored(self) -> list[str]:
        """Notes on what is not in force, and why: of the project, and of variables that changed
        since the start."""
        said = list(self.notes)
        for name in environment.changed() if self._at_start is environment.get else ():
            key = name.removeprefix(environment.PREFIX).lower()
            if key in _BY_KEY and f"({name}), tightened" in self.origin(key):
                continue
            said.append(
                f"{name} was changed after this process started: ignored, unless it tightens a "
                f"setting"
            )
        return said

    def rows(self) -> Iterator[tuple[str, Any, str, str]]:
        """(key, value, origin, help) of every setting; amounts as OPG text."""
        for found in OPTIONS:
            value, origin = self._resolve(found)
            yield found.key, self.shown(found.key, value), origin, found.help

    @staticmethod
    def shown(key: str, value: Any) -> str:
        """A value as a person reads it."""
        from opg_magic.models import format_units

        if _BY_KEY[key].amount:
            return f"{format_units(value, OPG_DECIMALS)} OPG"
        if isinstance(value, tuple):
            return ", ".join(map(_without_secrets, value)) or "(none)"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            return f"{value:g}"
        return "(none)" if value is None else str(value)

    def _resolve(self, found: Option) -> tuple[Any, str]:
        value, origin = self._users_own(found)
        if found.tighten is not None and not found.gathered and found.key in self._kernel:
            tightened = found.tighten(value, self._kernel[found.key])
            if tightened != value:
                value, origin = tightened, "this kernel, tightened"
        variable = f"OPG_{found.key.upper()}"
        if (
            found.tighten is not None
            and (text := self._now(variable))
            and text != self._at_start(variable)
        ):
            # Written since the process started, perhaps by a notebook.
            tightened = found.tighten(value, _convert(found, text, variable))
            if tightened != value:
                value, origin = tightened, f"environment of this kernel ({variable}), tightened"
        if found.tighten is not None and found.key in self._project:
            theirs = _convert(found, self._project[found.key], str(self._project_file))
            tightened = found.tighten(value, theirs)
            if tightened != value:
                return tightened, "project (pyproject.toml), tightened"
        return value, origin

    def _users_own(self, found: Option) -> tuple[Any, str]:
        places = list(self._places(found))
        if found.gathered and found.tighten is not None and len(places) > 1:
            value = found.default
            for theirs, _ in places:
                value = found.tighten(value, theirs)
            return value, " and ".join(
                origin for theirs, origin in places if theirs != found.default
            ) or places[0][1]
        return places[0]

    def _places(self, found: Option) -> Iterator[tuple[Any, str]]:
        """Value and origin of each place of the user's own that names the setting, the default
        last."""
        if found.key in self._kernel and (found.tighten is None or found.gathered):
            yield self._kernel[found.key], "this kernel"
        variable = f"OPG_{found.key.upper()}"
        if text := self._at_start(variable):
            yield _convert(found, text, variable), f"environment ({variable})"
        if found.key in self._user:
            yield (
                _convert(found, self._user[found.key], str(self._user_file)),
                "user file (config.toml)",
            )
        yield found.default, "default"


def _without_secrets(value: str) -> str:
    """A URL as it may be shown: an API key may stand behind the host's name, a password before
    it."""
    from urllib.parse import urlsplit

    if "://" not in value:
        return value
    try:
        parts = urlsplit(value)
        name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return "(not a URL)"
    more = parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None
    return f"{parts.scheme}://{name}{port}" + ("/…" if more else "")


def _convert(found: Option, value: Any, where: str) -> Any:
    try:
        return found.convert(value)
    except ValueError as problem:
        said = f", not {value!r}" if found.echoed else ""
        raise ConfigError(f"setting {found.key} in {where} must be {problem}{said}") from None


def _own_file() -> Path | None:
    """The user's own file; None where no home is known: then the defaults hold, and verifying works
    all the same."""
    try:
        return paths.config_file()
    except ConfigError:
        return None


def _here() -> Path | None:
    """The working folder; None where it is gone."""
    try:
        return Path.cwd()
    except OSError:
        return None


def _read_toml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise ConfigError(f"cannot read settings from {path}: {problem}") from None


def _project_table(start: Path | None) -> tuple[Path | None, dict[str, Any]]:
    for folder in (start, *start.parents) if start is not None else ():
        file = folder / "pyproject.toml"
        if _is_file(file):
            tool = _read_toml(file).get("tool", {})
            table = tool.get("opg", {}) if isinstance(tool, dict) else {}
            return file, table if isinstance(table, dict) else {}
    return None, {}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder above that may not be looked into holds no project of ours
        return False


def write_user(key: str, value: Any) -> None:
    """Set a setting in the user's own file; everything else there stays.  ConfigError if it cannot
    be written."""
    import tomlkit

    found = option(key)
    _convert(found, value, "what you gave")
    file = paths.config_file()
    try:
        document = tomlkit.parse(file.read_text("utf-8")) if file.exists() else tomlkit.document()
        document[found.key] = list(_list(value)) if isinstance(found.default, tuple) else value
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = file.with_name(file.name + ".new")
        scratch.write_text(tomlkit.dumps(document), "utf-8")
        scratch.chmod(0o600)
        scratch.replace(file)
    except (OSError, tomlkit.exceptions.TOMLKitError) as problem:
        raise ConfigError(f"cannot write settings to {file}: {problem}") from None
