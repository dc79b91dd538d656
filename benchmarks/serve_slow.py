"""``opg serve`` for the network whose state is the first line of standard input; the rest are its
arguments."""

from __future__ import annotations

import json
import sys

from opg_magic.call import kernel
from opg_magic.shell.main import main

STATE = json.loads(sys.stdin.readline())
kernel._running_simulator = lambda _known: STATE

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
