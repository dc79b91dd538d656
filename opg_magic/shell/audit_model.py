"""``opg audit-model``: whether a model answers a battery of short questions as a reference did."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from opg_magic.call.model_audit_words import add_options
from opg_magic.shell.common import add_network


def add(commands: Any) -> None:
    """The command."""
    audit = commands.add_parser(
        "audit-model", help="compare a model's answers to short questions with a reference"
    )
    add_options(audit)
    add_network(audit)
    audit.add_argument("--json", action="store_true", help="print the result as JSON")
    audit.set_defaults(handler=_audit, undecided=3)


def _audit(options: argparse.Namespace) -> int:
    from opg_magic.call import model_auditing
    from opg_magic.call.session import current_session

    outcome = model_auditing.run(
        current_session(),
        options,
        network=options.network,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if options.json:
        print(json.dumps(outcome.to_json(), ensure_ascii=False, indent=1))
    else:
        print(*outcome.lines, sep="\n")
    return 1 if outcome.differs else 0
