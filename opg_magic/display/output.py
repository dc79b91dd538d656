"""Text on streams whose encoding cannot hold it: every character is printed, as itself or as its
escape."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO


def never_fails(*streams: TextIO | Any) -> None:
    """Let these streams write ``\\u4e2d`` for what their encoding lacks, instead of raising.

    A stream that was told what else to do (``PYTHONIOENCODING=cp1252:replace``) is left alone.
    """
    for stream in streams:
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(
            stream, "reconfigure"
        ):
            stream.reconfigure(errors="backslashreplace")


def holds(text: str, stream: TextIO | None = None) -> bool:
    """Whether a stream (standard output) prints this text as it is."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    except LookupError:
        return True
    return True


def json_text(document: Any, text: str) -> str:
    """``text``, the JSON of ``document``; with JSON's own escapes where standard output could not
    print it."""
    return text if holds(text) else json.dumps(document)


def nobody_reads() -> None:
    """Whoever read the output is gone: what is still to be written goes nowhere, at the end too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
