"""Where this user's files live.  ``OPG_HOME`` moves all of it to one folder (tests, shared
machines)."""

from __future__ import annotations

from pathlib import Path

from opg_magic.errors import ConfigError
from opg_magic.settings import environment


def expanded(path: str | Path) -> Path:
    """``~`` and ``~name`` as the home they mean; as they stand where there is no such user."""
    path = Path(path)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def home() -> Path:
    """The data folder: ledger, keystore, simulated network.  Created 0700 on first use."""
    return _made(data_folder())


def existing(*names: str) -> Path | None:
    """Return a file in the data folder, None if it does not exist.  For reading: makes nothing."""
    try:
        found = data_folder().joinpath(*names)
        return found if found.exists() else None
    except (ConfigError, OSError):
        return None


def data_folder() -> Path:
    """The same folder, which need not exist yet.  Raises ConfigError as :func:`home` does."""
    override = environment.home()
    if override is not None:
        return override
    return _own_folder("user_data_dir")


def _own_folder(kind: str) -> Path:
    """A folder of this user's on this platform.

    Without HOME and without an entry in the list of users there is none: platformdirs says so, or
    leaves "~" as it is."""
    import platformdirs

    try:
        path = Path(getattr(platformdirs, kind)("opg_magic", appauthor=False))
    except (RuntimeError, KeyError):
        path = Path("~")
    if not path.is_absolute():
        raise ConfigError(
            "No home folder is known for this user: HOME is not set, and the system's list of "
            "users has none.",
            hint="Set OPG_HOME to a folder for your settings and your ledger.",
        )
    return path


def _made(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(
            f"the folder {path} cannot be made: {problem.strerror or problem}",
            hint="Set OPG_HOME to a folder where you may write.",
        ) from None
    return path


def config_file() -> Path:
    """The user's own settings (TOML).  Beside the data under ``OPG_HOME``, else in the platform's
    config folder.

    Raises ConfigError where no home folder is known for this user.
    """
    override = environment.home()
    if override is not None:
        return override / "config.toml"
    return _own_folder("user_config_dir") / "config.toml"


def ledger_file() -> Path:
    """Return where the ledger is."""
    return home() / "ledger.sqlite"


def keystore_file() -> Path:
    """Return where the encrypted key is, if there is one."""
    return home() / "keystore.json"


def sign_in_file(network: str) -> Path:
    """Return where it stands that there is a sign-in for a network, and its encrypted form if no
    keyring holds it."""
    return home() / f"sign-in-{network}.json"


def simnet_dir() -> Path:
    """Return the simulated network's folder; it is made if need be."""
    return _made(home() / "simnet")


def weights_dir(*, make: bool = True) -> Path:
    """Where weights of open models are kept: under ``OPG_HOME``, else in the platform's cache
    folder.  Made 0700 unless ``make`` is false."""
    override = environment.home()
    path = (override if override is not None else _own_folder("user_cache_dir")) / "weights"
    return _made(path) if make else path
