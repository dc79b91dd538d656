"""The secrets of one installation's simulated network, kept under ``simnet/keys`` (0600 in a 0700
folder).

All are made here and used nowhere else: the attestation authority, and keys for the payer, the
facilitator (one for payments, one that puts hashes on record), the administrator of the contracts,
and each host's owner.  The simulated chains have the real ones' ids and addresses, so a user's own
key must never come near them: nothing here is ever read from an environment variable or a user's
key store."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from opg_magic.errors import SimnetError
from opg_magic.models.secret import Secret
from opg_magic.simnet.host.nitro import Authority

PAYER_FILE = "payer.key"
ROOT_FILE = "root.pem"

#: The order of secp256k1: a private key lies below it (SEC 2, section 2.4.1).
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@dataclass(frozen=True)
class Keys:
    """Everything secret of one installation.  ``owners`` are the hosts' owners by name; ``folder``
    holds the files."""

    folder: Path
    authority: Authority
    payer: Secret[bytes]
    facilitator: Secret[bytes]
    settler: Secret[bytes]
    admin: Secret[bytes]
    owners: dict[str, Secret[bytes]]

    @property
    def payer_file(self) -> Path:
        """Holds the payer's private key as 0x-hex."""
        return self.folder / PAYER_FILE

    @property
    def root_pem(self) -> Path:
        """The attestation root, for ``opg attestation verify --root``."""
        return self.folder / ROOT_FILE


def load_or_create(folder: Path, owners: tuple[str, ...]) -> Keys:
    """The installation's keys, those that are not there yet made now.  SimnetError if a file is
    damaged."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority = Authority.load_or_create(folder / "authority")
    _write(folder / ROOT_FILE, authority.root_pem)
    return Keys(
        folder=folder,
        authority=authority,
        payer=_key(folder / PAYER_FILE),
        facilitator=_key(folder / "facilitator.key"),
        settler=_key(folder / "settler.key"),
        admin=_key(folder / "admin.key"),
        owners={name: _key(folder / f"owner-{name}.key") for name in owners},
    )


def read_key(path: Path) -> Secret[bytes]:
    """A private key of 32 bytes from its file (0x-hex).  SimnetError if it is not one."""
    try:
        raw = bytes.fromhex(path.read_text("ascii").strip().removeprefix("0x"))
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not hex"
        raise SimnetError(
            f"{path} does not hold a key: {reason}", hint="Remove it; a new one is made."
        ) from None
    if len(raw) != 32 or not 0 < int.from_bytes(raw, "big") < _ORDER:
        raise SimnetError(f"{path} does not hold a key", hint="Remove it; a new one is made.")
    return Secret(raw)


def _key(path: Path) -> Secret[bytes]:
    if not path.exists():
        _write(
            path,
            ("0x" + (secrets.randbelow(_ORDER - 1) + 1).to_bytes(32, "big").hex() + "\n").encode(),
        )
    return read_key(path)


def _write(path: Path, data: bytes) -> None:
    """Replace a file at once, 0600 from its first byte."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    draft.replace(path)
