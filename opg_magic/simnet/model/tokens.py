"""Tokens as the scripted model counts them: pieces of about a token's size."""

from __future__ import annotations

import re


def split_tokens(text: str) -> list[str]:
    """Cut text into pieces of about a token: a short run of letters with the space before it, or
    one other character.

    Joined, the pieces give the text back exactly.
    """
    return re.findall(r"\s?[^\W\d_]{1,7}|\s?\d{1,3}|\s+|[^\w\s]|_|.", text, flags=re.DOTALL)


def count_tokens(text: str) -> int:
    """How many pieces :func:`split_tokens` makes."""
    return len(split_tokens(text))
