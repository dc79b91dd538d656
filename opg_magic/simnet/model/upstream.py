"""A relay to any OpenAI-compatible server (Ollama, vLLM, llama.cpp), in place of the scripted
model.

The host signs what the server said; the request goes through as it came, with the model's name as
the user gave it. A key for it, where it needs one, is taken from ``OPG_SIMNET_UPSTREAM_KEY``."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from opg_magic.errors import SimnetError
from opg_magic.models import Kind
from opg_magic.models.secret import Secret
from opg_magic.simnet.model.interface import Delta, Model, ModelDown, Reply, Usage
from opg_magic.simnet.model.tokens import count_tokens

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

#: What a relayed request may take, in seconds: no payment lives longer.
TIMEOUT = 290.0
_PATHS: dict[Kind, str] = {"chat": "/chat/completions", "completion": "/completions"}


class Upstream:
    """Relays to ``url``: the server's base address, with or without its ``/v1``.

    ``key`` opens it; without one, that of ``OPG_SIMNET_UPSTREAM_KEY``."""

    def __init__(self, url: str, *, key: Secret[str] | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise SimnetError(f"--upstream needs an http or https URL, not {url!r}")
        self.about = url
        self.model: str | None = None
        self.any_model = True
        base = url.rstrip("/")
        self.base = base if base.endswith("/v1") else base + "/v1"
        self._key = key or Secret(os.environ.get("OPG_SIMNET_UPSTREAM_KEY", ""))
        self._session: ClientSession | None = None

    async def reply(self, body: Mapping[str, Any], kind: Kind) -> Reply:
        """See :class:`~opg_magic.simnet.model.interface.Model`."""
        async with self._post({**body, "stream": False}, kind) as response:
            try:
                answer = json.loads(await response.read())
                choice = answer["choices"][0]
                message = choice.get("message") or {"content": choice.get("text")}
                text = str(message.get("content") or "")
                calls = tuple(_plain(call) for call in message.get("tool_calls") or ())
            except (ValueError, KeyError, IndexError, TypeError, AttributeError):
                raise ModelDown("the upstream's answer has another form") from None
        return Reply(
            (text,) if text else (), _usage(answer.get("usage"), text), _name(answer, body), calls
        )

    async def stream(self, body: Mapping[str, Any], kind: Kind) -> AsyncIterator[Delta]:
        """See :class:`~opg_magic.simnet.model.interface.Model`."""
        asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
        finish: str | None = None
        usage: Any = None
        length = 0
        called = False
        model = str(body.get("model"))
        async with self._post(asked, kind) as response:
            async for payload in _events(response):
                if payload.get("error") is not None:
                    raise ModelDown("the upstream reports a failure")
                usage = payload.get("usage") or usage
                model = _name(payload, body)
                for choice in payload.get("choices") or ():
                    delta = choice.get("delta") or {}
                    if delta.get("content"):
                        length += count_tokens(delta["content"])
                        yield Delta(text=str(delta["content"]), model=model)
                    if delta.get("tool_calls"):
                        called = True
                        yield Delta(tool_calls=tuple(delta["tool_calls"]), model=model)
                    finish = choice.get("finish_reason") or finish
        if finish is None:
            raise ModelDown("the upstream's stream ended early")
        # Hosts know two reasons only, as recorded: "length" is signed as "stop".
        reason = "tool_calls" if called else "stop"
        yield Delta(finish_reason=reason, usage=_usage(usage, "", length), model=model)

    async def open(self) -> None:
        """Nothing to prepare: a connection is made when the first request comes."""

    async def swapped(self, how: str) -> Model:
        raise ModelDown("only a model whose weights are here can be swapped for another")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def _post(self, body: Mapping[str, Any], kind: Kind) -> AsyncIterator[ClientResponse]:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        headers = {"Authorization": f"Bearer {self._key.reveal()}"} if self._key else {}
        try:
            async with self._session.post(
                self.base + _PATHS[kind], json=body, headers=headers, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise ModelDown(f"the upstream answers HTTP {response.status}")
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ModelDown(f"the upstream cannot be used: {type(error).__name__}") from None


async def _events(response: ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a server-sent stream, until its end marker."""
    async for raw in response.content:
        line = raw.decode("utf-8", "replace").strip()
        if not line.startswith("data:"):
            continue
        payload = line[5:].strip()
        if payload == "[DONE]":
            return
        try:
            event = json.loads(payload)
        except ValueError:
            raise ModelDown("the upstream's stream is not JSON") from None
        if isinstance(event, dict):
            yield event


def _plain(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {
        "id": call.get("id"),
        "type": "function",
        "function": {"name": function["name"], "arguments": function.get("arguments") or "{}"},
    }


def _usage(given: Any, text: str, length: int = 0) -> Usage:
    """The server's counts; where it gives none, a count of ours of the answer."""
    if isinstance(given, Mapping):
        asked, answered = given.get("prompt_tokens"), given.get("completion_tokens")
        if type(asked) is int and type(answered) is int and asked >= 0 and answered >= 0:
            return Usage(asked, answered)
    return Usage(0, length or count_tokens(text))


def _name(answer: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    return str(answer.get("model") or body.get("model"))
