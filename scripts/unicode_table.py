"""Make ``opg_magic/protocol/unicode_added.json``: what ``repr`` shows since which version of
Unicode, over 14.0.

Needs Python 3.11 (Unicode 14.0) and, for each newer version, a folder with that version of
``unicodedata2``::

    pip install --no-deps --target build/unicode/18.0 unicodedata2==18.0.0
    python scripts/unicode_table.py build/unicode
"""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "opg_magic" / "protocol" / "unicode_added.json"
#: Prints, for each code point, whether it is printable as ``str.isprintable`` has it.
SHOWS = (
    "import unicodedata2 as u; "
    "print(''.join('01'[u.category(chr(c))[0] not in 'CZ'] for c in range(0x110000)))"
)


def main(folder: Path) -> int:
    if unicodedata.unidata_version != "14.0.0":
        print("This needs Python 3.11, whose Unicode data is that of 14.0.")
        return 1
    before = "".join(
        "01"[unicodedata.category(chr(code))[0] not in "CZ"] for code in range(0x110000)
    )
    table: dict[str, str] = {}
    for path in sorted(folder.iterdir(), key=lambda path: tuple(map(int, path.name.split(".")))):
        command = [sys.executable, "-c", SHOWS]
        now = subprocess.run(
            command, env={"PYTHONPATH": str(path)}, check=True, capture_output=True, text=True
        ).stdout
        if any(one == "1" and other == "0" for one, other in zip(before, now, strict=False)):
            print(f"Unicode {path.name} took characters away, which the table cannot say.")
            return 1
        table[path.name] = " ".join(
            ranges([code for code in range(0x110000) if before[code] < now[code]])
        )
        before = now
    TARGET.write_text(json.dumps(table, indent=2) + "\n", encoding="ascii")
    return 0


def ranges(codes: list[int]) -> list[str]:
    found: list[list[int]] = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return [f"{first:x}" if first == last else f"{first:x}-{last:x}" for first, last in found]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
