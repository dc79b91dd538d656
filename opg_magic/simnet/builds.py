"""The hosts' names, and the builds of the enclave's code that they run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from opg_magic.protocol.keccak import keccak256

#: Host names, and which build of the enclave's code each runs.  Two builds, so that one can be
#: revoked.
HOSTS: tuple[tuple[str, str], ...] = (
    ("anna", "2026-04"),
    ("bruno", "2026-04"),
    ("chidi", "2026-03"),
)


def pcrs_of(version: str) -> dict[int, bytes]:
    """The measurements of one build of the simulated enclave: three digests of its name, 48 bytes
    each."""
    return {
        i: hashlib.sha384(f"opg_magic simulated enclave {version} pcr{i}".encode()).digest()
        for i in range(3)
    }


def pcr_hash(pcrs: Mapping[int, bytes]) -> bytes:
    """The hash by which the registry names a build."""
    return keccak256(pcrs[0] + pcrs[1] + pcrs[2])
