"""Runs a ``%%ai`` cell of jupyter-ai for each line on stdin; one line of JSON for each.

Run by the interpreter of ``.venvs/jupyter-ai``, with ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``."""

from __future__ import annotations

import contextlib
import io
import json
import sys

from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "jupyter_ai_magic_commands")

for prompt in sys.stdin:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        done = shell.run_cell(f"%%ai openai/gpt-5\n{prompt}")
    problem = done.error_in_exec
    answer = {
        "text": getattr(done.result, "data", None),
        "error": None if problem is None else f"{type(problem).__name__}: {problem}",
        "said": said.getvalue(),
    }
    print(json.dumps(answer), file=sys.__stdout__, flush=True)
