"""``opg config``: your settings."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from opg_magic.display import columns
from opg_magic.models.plain_text import inert
from opg_magic.shell.common import session

#: Characters of a value that stands in its column.
_MOST = 28


def add(commands: Any) -> None:
    """The command."""
    config = commands.add_parser(
        "config", help="show each setting and where it comes from; set one in your own file"
    )
    config.add_argument("key", nargs="?", help="show this setting alone")
    config.add_argument("value", nargs="*", help="write this value into your config.toml")
    config.set_defaults(handler=_config)


def _config(options: argparse.Namespace) -> int:
    settings = session().settings
    if options.key is not None:
        from opg_magic.settings import paths
        from opg_magic.settings.files import named, write_user

        found, name = named(options.key)
        key = found.key
        if options.value:
            write_user(f"{key}.{name}" if name else key, " ".join(options.value))
            settings.reload()
            print(f"written to {paths.config_file()}")
        value = settings.get(key)
        shown = value.get(name, "(none)") if name else settings.shown(key, value)
        print(f"{f'{key}.{name}' if name else key} = {shown}   (from: {settings.origin(key)})")
        return 0
    rows = [(key, str(value), origin, text) for key, value, origin, text in settings.rows()]
    # A long value (addresses, URLs) stands whole below its row, for it is there to be copied.
    below = [value if len(value) > _MOST else "" for _, value, _, _ in rows]
    short = [
        (row[0], "(below)" if long else row[1], *row[2:])
        for row, long in zip(rows, below, strict=True)
    ]
    blocks = columns.blocks(short, columns.line_width(), wraps=True)
    for block, long in zip(blocks, below, strict=True):
        print(block + (f"\n  {inert(long)}" if long else ""))
    for note in settings.ignored():
        print(note, file=sys.stderr)
    return 0
