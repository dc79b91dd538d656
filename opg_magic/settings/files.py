"""The files that settings stand in: the user's own, and a project's ``pyproject.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from opg_magic.errors import ConfigError
from opg_magic.settings import paths, private_files, values
from opg_magic.settings.catalogue import Setting, setting


def convert(found: Setting, value: Any, where: str) -> Any:
    """Return the value as its setting reads it.  Raises :class:`ConfigError`, naming ``where`` it
    stands (empty: it was just given), if it is malformed."""
    try:
        return found.convert(value)
    except ValueError as problem:
        said = f": {value!r}" if found.echoed else ""
        place = f" in {where}" if where else ""
        raise ConfigError(f"Invalid {found.key}{place}{said}. Use {problem}.") from None


def own_file() -> Path | None:
    """Return the user's own file; None if no home is known.  Then the defaults hold, and verifying
    works anyway."""
    try:
        return paths.config_file()
    except ConfigError:
        return None


def working_folder() -> Path | None:
    """Return the working folder; None if it no longer exists."""
    try:
        return Path.cwd()
    except OSError:
        return None


def read_toml(path: Path | None) -> dict[str, Any]:
    """Return what a TOML file holds, nothing if it does not exist.  Raises :class:`ConfigError` if
    it cannot be read."""
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise ConfigError(f"cannot read settings from {path}: {problem}") from None


def project_table(start: Path | None) -> tuple[Path | None, dict[str, Any]]:
    """Return the first ``pyproject.toml`` upwards from a folder, and its table ``tool.opg``."""
    for folder in (start, *start.parents) if start is not None else ():
        file = folder / "pyproject.toml"
        if _is_file(file):
            tool = read_toml(file).get("tool", {})
            table = tool.get("opg", {}) if isinstance(tool, dict) else {}
            return file, table if isinstance(table, dict) else {}
    return None, {}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that we may not look into holds no project of ours
        return False


def named(key: str) -> tuple[Setting, str]:
    """Return the setting of a key, and the entry of a table that it names (``aliases.fast``); ""
    if it names none.  Raises :class:`ConfigError` if there is no such setting."""
    first, _, name = key.partition(".")
    found = setting(first)
    if name and not isinstance(found.default, dict):
        raise ConfigError(f"{found.key} has no entries: write it without .{name}")
    return found, name


def write_user(key: str, value: Any) -> None:
    """Write a setting into the user's own file; everything else there stays.

    ``aliases.fast`` writes one entry of a table.  Raises :class:`ConfigError` if the value is
    malformed or the file cannot be written."""
    import tomlkit

    found, name = named(key)
    convert(found, {name: value} if name else value, "")
    file = paths.config_file()
    try:
        document = tomlkit.parse(file.read_text("utf-8")) if file.exists() else tomlkit.document()
        if name:
            document.setdefault(found.key, tomlkit.table())[name] = value
        else:
            document[found.key] = (
                list(values.texts(value)) if isinstance(found.default, tuple) else value
            )
        private_files.write(file, tomlkit.dumps(document))
    except (OSError, tomlkit.exceptions.TOMLKitError) as problem:
        raise ConfigError(f"cannot write settings to {file}: {problem}") from None
