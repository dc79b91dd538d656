"""``python -m opg_magic.simnet COMMAND``: see :mod:`opg_magic.simnet.process.command`."""

from __future__ import annotations

import sys

from opg_magic.simnet.process.command import main

if __name__ == "__main__":
    sys.exit(main())
