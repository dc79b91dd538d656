"""``opg doctor``: can a call be made now, and which command mends what stands in its way."""

from __future__ import annotations

import argparse
from typing import Any

from opg_magic.shell.common import add_network, session


def add(commands: Any) -> None:
    """The command."""
    doctor = commands.add_parser(
        "doctor",
        help="check whether a call can be made now; name the command that fixes each fault",
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    add_network(doctor)
    doctor.set_defaults(handler=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from opg_magic.call.doctor import examine
    from opg_magic.display import diagnosis

    found = examine(session(options), in_notebook=False)
    if options.json:
        import json

        print(json.dumps(found.as_json(), indent=2))
    else:
        print(diagnosis.text(found))
    return 0 if found.ready else 1
