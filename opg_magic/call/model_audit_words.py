"""The words after ``audit-model``, for the shell and for a notebook alike.  Light to import."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """The words after ``audit-model``."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="the model; default: your own")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--reference", type=Path, metavar="REF.json", help="compare with this reference"
    )
    what.add_argument(
        "--record", type=Path, metavar="REF.json", help="write a reference; asks three times"
    )
    parser.add_argument(
        "--max-cost", metavar="C", help="ask as many questions as C OPG pay for (required to ask)"
    )
    parser.add_argument("--host", metavar="ID", help="ask only this host")
    parser.add_argument(
        "--fresh", action="store_true", help="use no answers that an earlier run paid for"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what it would cost")
