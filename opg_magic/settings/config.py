"""The settings in force, and where each came from: flag > this kernel > environment > user file >
default.

A project's ``pyproject.toml`` (``[tool.opg]``, looked for upwards from the working folder) came
with the work, so it can only tighten: a stricter policy, more required claims, lower limits, a
smaller skew.  RPCs, addresses, wallet and consents belong to the user alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from opg_magic.errors import ConfigError
from opg_magic.models.networks import OPG_DECIMALS
from opg_magic.settings import environment
from opg_magic.settings.catalogue import BY_KEY, OWN, RETIRED, SETTINGS, Setting, setting
from opg_magic.settings.files import convert, own_file, project_table, read_toml, working_folder

#: What :meth:`Settings.origin` says of a setting that nobody set.
DEFAULT_ORIGIN = "default"


class Settings:
    """The settings in force: files as read once, the environment as it was when the process
    started.

    :meth:`set` changes this kernel only.  What a notebook writes into the environment can only
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
        self._user_file = own_file() if user_file is None else user_file
        self._user = read_toml(self._user_file)
        self._project_file, self._project = project_table(
            working_folder() if project_dir is None else project_dir
        )
        self._kernel: dict[str, Any] = {}
        self.notes: list[str] = []
        for key in self._user:
            if key in RETIRED:
                self.notes.append(f"config.toml {key}: ignored, {RETIRED[key]}")
            else:
                setting(key)
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
            if key not in BY_KEY or BY_KEY[key].tighten is None:
                self.notes.append(
                    f"pyproject.toml [tool.opg] {key}: ignored, a project can only tighten"
                )

    def reread_limits(self) -> bool:
        """Read only the limits in the user's own file again; return whether one in force rose."""
        from opg_magic.settings.limits import LIMIT_KEYS, RELAYED_KEYS

        keys = [*LIMIT_KEYS.values(), *RELAYED_KEYS.values()]
        before = [self.get(key) for key in keys]
        fresh = read_toml(self._user_file)
        self._user = {k: v for k, v in self._user.items() if k not in keys} | {
            k: v for k, v in fresh.items() if k in keys
        }
        return any(self.get(key) > was for key, was in zip(keys, before, strict=True))

    def reload(self) -> None:
        """Read the user's file again."""
        self._user = read_toml(self._user_file)

    def get(self, key: str) -> Any:
        """Return the value in force, converted.  Raises :class:`ConfigError` if it is malformed."""
        return self._resolve(setting(key))[0]

    def origin(self, key: str) -> str:
        """Return where the value in force comes from, in words."""
        return self._resolve(setting(key))[1]

    def set(self, key: str, value: Any) -> None:
        """Set a value for this kernel.  It can tighten the user's own settings, never loosen them.

        Raises :class:`ConfigError` if the value is malformed, or the setting is the user's own
        (:data:`OWN`)."""
        found = setting(key)
        if found.key in OWN:
            raise ConfigError(
                f"{found.key} is set only in your own settings, never by a notebook",
                hint=f"In a shell: opg config {found.key} VALUE (or the environment: "
                f"OPG_{found.key.upper()}).",
            )
        self._kernel[found.key] = convert(found, value, "this kernel")

    def unset(self, key: str) -> None:
        """Forget what was set for this kernel."""
        self._kernel.pop(setting(key).key, None)

    def ignored(self) -> list[str]:
        """Return notes on what is not in force, and why: a project's settings, and variables that
        changed since the start."""
        said = list(self.notes)
        for name in environment.changed() if self._at_start is environment.get else ():
            key = name.removeprefix(environment.PREFIX).lower()
            if key in BY_KEY and f"({name}), tightened" in self.origin(key):
                continue
            said.append(
                f"{name} was changed after this process started: ignored, unless it tightens a "
                f"setting"
            )
        return said

    def rows(self) -> Iterator[tuple[str, Any, str, str]]:
        """Return (key, value, origin, help) of every setting; amounts as OPG text."""
        for found in SETTINGS:
            value, origin = self._resolve(found)
            yield found.key, self.shown(found.key, value), origin, found.help

    @staticmethod
    def shown(key: str, value: Any) -> str:
        """Return a value as a person reads it, without secrets."""
        from opg_magic.models import format_units

        if BY_KEY[key].amount:
            return f"{format_units(value, OPG_DECIMALS)} OPG"
        if isinstance(value, Mapping):
            return ", ".join(value) or "(none)"
        if isinstance(value, tuple):
            return ", ".join(map(_without_secrets, value)) or "(none)"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            return f"{value:g}"
        return "(none)" if value is None else str(value)

    def _resolve(self, found: Setting) -> tuple[Any, str]:
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
            tightened = found.tighten(value, convert(found, text, variable))
            if tightened != value:
                value, origin = tightened, f"environment of this kernel ({variable}), tightened"
        if found.tighten is not None and found.key in self._project:
            theirs = convert(found, self._project[found.key], str(self._project_file))
            tightened = found.tighten(value, theirs)
            if tightened != value:
                return tightened, "project (pyproject.toml), tightened"
        return value, origin

    def _users_own(self, found: Setting) -> tuple[Any, str]:
        places = list(self._places(found))
        if found.gathered and found.tighten is not None and len(places) > 1:
            value = found.default
            for theirs, _ in places:
                value = found.tighten(value, theirs)
            return value, " and ".join(
                origin for theirs, origin in places if theirs != found.default
            ) or places[0][1]
        return places[0]

    def _places(self, found: Setting) -> Iterator[tuple[Any, str]]:
        """Value and origin of each place of the user's own that names the setting, the default
        last."""
        if found.key in self._kernel and (found.tighten is None or found.gathered):
            yield self._kernel[found.key], "this kernel"
        variable = f"OPG_{found.key.upper()}"
        if text := self._at_start(variable):
            yield convert(found, text, variable), f"environment ({variable})"
        if found.key in self._user:
            yield (
                convert(found, self._user[found.key], str(self._user_file)),
                "user file (config.toml)",
            )
        yield found.default, DEFAULT_ORIGIN


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
