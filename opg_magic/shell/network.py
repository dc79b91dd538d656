"""``opg hosts`` and ``opg pin``: who answers, and whose builds you trust."""

from __future__ import annotations

import argparse
from typing import Any

from opg_magic.display import columns
from opg_magic.shell.common import add_network, session


def add(commands: Any) -> None:
    """The commands."""
    hosts = commands.add_parser(
        "hosts", help="check all hosts now: registry, certificate, attestation"
    )
    add_network(hosts)
    hosts.set_defaults(handler=_hosts)

    pin = commands.add_parser(
        "pin", help="list host builds and registry versions; trust one by your own review"
    )
    pin.add_argument(
        "hashes", nargs="*", metavar="HASH", help="trust this build (a PCR hash) from now on"
    )
    pin.add_argument("--remove", action="store_true", help="no longer trust the builds named")
    pin.set_defaults(handler=_pin)


def _hosts(options: argparse.Namespace) -> int:
    for row in session(options).overview.hosts():
        state = "active" if row.active else "not active"
        notes = "; ".join(filter(None, (row.reason, row.set_aside and f"skipped: {row.set_aside}")))
        seen = (
            "unreachable" if row.attestation == "unreachable" else f"attestation {row.attestation}"
        )
        print(f"{row.host.tee_id}  {state}, {seen}  {row.name or ''}".rstrip())
        if notes:
            print(columns.folded(notes))
    return 0


def _pin(options: argparse.Namespace) -> int:
    kernel = session()
    if options.hashes:
        print("\n".join(kernel.overview.pin(options.hashes, remove=options.remove)))
        return 0
    for build in kernel.overview.builds():
        state = "pinned" if build.pinned else "not pinned"
        listed = {True: "approved", False: "revoked", None: "not listed"}[build.approved]
        print(f"{build.pcr_hash}  {state}  {listed}  {build.version or ''}".rstrip())
    return 0
