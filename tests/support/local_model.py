"""A host's model as llama.cpp's own server runs it, and calls that its answers make."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

from support.signing import CHAT, evidence, signer, stream

from opg_magic.models import Evidence
from opg_magic.weights import conversation, fetch

MODEL = "smollm2-135m-instruct"


class LocalModel:
    """Weights that answer on loopback; a request goes there as a host sends it."""

    def __init__(self, path: Path) -> None:
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx, parameters.n_parallel, parameters.verbosity = 1024, 1, -1
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            parameters.port = free.getsockname()[1]
        self._server = xllamacpp.Server(parameters)

    def post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            self._server.listening_address + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def answer(self, body: dict[str, Any], **changed: Any) -> str:
        """The text of an answer; ``changed`` is what the host does behind its signature."""
        asked = body | changed
        messages = conversation.turns(asked["messages"], fetch.SMOLLM2.sha256)
        sent = {**asked, "messages": messages, **conversation.SAMPLING}
        text: str = self.post("/v1/chat/completions", sent)["choices"][0]["message"]["content"]
        return text


def request(prompt: str, **more: Any) -> dict[str, Any]:
    return {
        **{key: value for key, value in CHAT.items() if key == "stream"},
        "model": MODEL,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0.0,
        "max_tokens": 48,
    } | more


def call(body: dict[str, Any], answer: str) -> Evidence:
    """The evidence of a call in which an honest gateway signed this request and this answer."""
    return evidence(stream(signer(), body, pieces=(answer,)), body)
