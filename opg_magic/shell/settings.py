"""``opg config``: your settings."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from opg_magic.shell.common import session


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
    for key, value, origin, text in settings.rows():
        print(f"{key:22} {value:24} {origin:28} {text}")
    for note in settings.ignored():
        print(note, file=sys.stderr)
    return 0
