"""Parts of a document that a script writes: between ``<!-- name -->`` and ``<!-- /name -->``."""

from __future__ import annotations

import re
from collections.abc import Mapping


def filled(text: str, parts: Mapping[str, str], document: str) -> str:
    """``text`` with each part in its place; SystemExit where a part has not exactly one."""
    for name, part in parts.items():
        place = re.compile(rf"(<!-- {name} -->\n)(?:.*?\n)?(<!-- /{name} -->)", re.DOTALL)
        text, count = place.subn(lambda match, part=part: f"{match[1]}{part}\n{match[2]}", text)
        if count != 1:
            raise SystemExit(f"{document}: {count} places for {name}")
    return text
