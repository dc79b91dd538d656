"""Clients that answer commands on standard input, one process each, so that a warm call can be
timed from outside.

Commands and answers are JSON lines: ``{"stream": bool}`` → ``{"first_ms": ..., "total_ms": ...}``.
A worker says ``{"ready": true}`` first.  The clocks run inside the worker, around the call alone.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROMPT = "What does a trusted execution environment protect against?"
MODEL = "openai/gpt-5"


class Worker:
    """A running client.  Use as a context manager; ``call`` makes one call and returns its times in
    ms."""

    def __init__(
        self, python: Path, script: str, setup: Mapping[str, Any], env: Mapping[str, str]
    ) -> None:
        self._process = subprocess.Popen(
            [str(python), str(HERE / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(env),
            text=True,
        )
        self._script = script
        self._send(setup)
        self._receive()

    def call(self, *, stream: bool) -> dict[str, float]:
        self._send({"stream": stream})
        return self._receive()

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith("{"):
                return dict(json.loads(line))
        raise RuntimeError(f"{self._script} ended with code {self._process.wait()}")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
