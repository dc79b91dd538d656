"""Weights that a user trusts: a model's name, and the SHA-256 that stands for it.

A pin says which file the name means to this user; a host has no say in it.  The packages that
:mod:`opg_magic.weights.fetch` knows are pinned by their own hashes; ``opg models trust`` adds
others, in ``weights.json`` beside the settings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opg_magic.errors import ConfigError, WeightsError
from opg_magic.settings import paths, private_files
from opg_magic.weights import fetch, gguf


@dataclass(frozen=True, slots=True)
class Pin:
    """Which weights a model's name stands for.

    ``path`` is the GGUF file, None while it is not on this machine.  ``same_build``: the hosts that
    are asked run llama.cpp in the very build and kind of processor that checks, so that no gap is
    put down to rounding."""

    model: str
    sha256: str
    path: Path | None
    same_build: bool = False


def pins() -> dict[str, Pin]:
    """Every pin by its model's name; the user's own come before those of known packages.

    Raises ConfigError where the user's file cannot be read."""
    known = {
        one.model: Pin(one.model, one.sha256, fetch.cached(one)) for one in fetch.PACKAGES.values()
    }
    return known | own()


def own() -> dict[str, Pin]:
    """The user's own pins by their models' names.  Raises ConfigError as :func:`pins` does."""
    return {model: _pin(model, kept) for model, kept in _read().items()}


def pinned(model: str) -> Pin | None:
    """The pin of the model that was asked for; None where its weights are not known here.

    Hosts are sent a name without its provider, so the part behind the last slash is enough; the
    user's own pin counts before that of a known package.  Raises WeightsError where two of the
    user's own, of different weights, have that name: which one was asked cannot be told."""
    wanted, mine = _short(model), _read()
    found = [pin for name, pin in pins().items() if _short(name) == wanted]
    exact = [pin for pin in found if pin.model == model]
    chosen = exact or [pin for pin in found if pin.model in mine] or found
    if len({(pin.sha256, pin.same_build) for pin in chosen}) > 1:
        names = " and ".join(pin.model for pin in chosen[:3])
        raise WeightsError(
            f"Hosts are asked for {_short(model)!a}, and {names} are different weights.",
            hint="Pin one of them under another name: opg models trust FILE.gguf --as NAME",
        )
    return next(iter(chosen), None)


#: SHA-256 of files that were read, by what tells that they are still the same.
_hashed: dict[tuple[str, int, int, int, int], str] = {}


def unchanged(path: Path, sha256: str) -> None:
    """Raises WeightsError if the file is no longer the one that was pinned.  It is read again only
    after it was changed."""
    try:
        told = path.stat()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    key = (str(path), told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns)
    if key not in _hashed:
        _hashed[key] = fetch.sha256_of(path)
    if _hashed[key] != sha256:
        raise WeightsError(
            f"{path.name} is not the file that was pinned.",
            hint="If you replaced it on purpose: opg models trust FILE.gguf --as MODEL",
        )


def trust(model: str, path: Path, *, same_build: bool = False) -> Pin:
    """Pin the GGUF file at ``path`` under ``model``, by the hash of what it holds now.

    Raises WeightsError for a file that is not a whole GGUF model."""
    if not model.strip() or len(model) > 256 or not model.isprintable():
        raise WeightsError(f"{model[:60]!a} cannot be the name of a model.")
    path = paths.expanded(path).resolve()
    gguf.read(path)
    pin = Pin(model.strip(), fetch.sha256_of(path), path, same_build)
    entry = {"sha256": pin.sha256, "path": str(path), "same_build": same_build}
    _write(_read() | {pin.model: entry})
    return pin


def _short(model: str) -> str:
    return model.rpartition("/")[2].lower()


def _file() -> Path:
    return paths.config_file().with_name("weights.json")


def _read() -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(_file().read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{_file()} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{_file()} does not hold pins of weights.")
    return found


def _pin(model: str, kept: Any) -> Pin:
    fields = (kept.get("sha256"), kept.get("path")) if isinstance(kept, dict) else ()
    if len(fields) != 2 or not all(isinstance(field, str) for field in fields):
        raise ConfigError(f"{_file()} does not say which file {model[:60]!a} is.")
    path = Path(kept["path"])
    here = path if path.is_file() else None
    return Pin(model, kept["sha256"], here, kept.get("same_build") is True)


def _write(entries: dict[str, dict[str, Any]]) -> None:
    file = _file()
    try:
        private_files.write(file, json.dumps(entries, indent=2))
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror or error}.") from None
