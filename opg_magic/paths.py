"""Where this user's files live.  ``OPG_HOME`` moves all of it to one folder (tests, shared machines)."""

from __future__ import annotations

from pathlib import Path

from opg_magic import environment
from opg_magic.errors import ConfigError


def home() -> Path:
    """The data folder: ledger, keystore, simulated network.  Created 0700 on first use."""
    path = environment.home()
    if path is None:
        import platformdirs

        path = Path(platformdirs.user_data_dir("opg_magic", appauthor=False))
    return _made(path)


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
    """The user's own settings (TOML).  Beside the data under ``OPG_HOME``, else in the platform's config folder."""
    override = environment.home()
    if override is not None:
        return override / "config.toml"
    import platformdirs

    return Path(platformdirs.user_config_dir("opg_magic", appauthor=False)) / "config.toml"


def ledger_file() -> Path:
    return home() / "ledger.sqlite"


def keystore_file() -> Path:
    return home() / "keystore.json"


def simnet_dir() -> Path:
    return _made(home() / "simnet")
