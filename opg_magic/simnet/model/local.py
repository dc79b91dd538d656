"""A real language model in this process: llama.cpp (xllamacpp) with the weights of a GGUF file.

One copy of the weights serves all hosts, one request at a time: the same request gives the same
tokens, whichever host is asked and whatever else runs.  llama.cpp answers on a port of loopback,
behind a key made for this start."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from opg_magic.errors import SimnetError, WeightsError
from opg_magic.models import Kind
from opg_magic.models.secret import Secret
from opg_magic.network.simnet_model import name_of
from opg_magic.settings import paths
from opg_magic.simnet.model import variants
from opg_magic.simnet.model.interface import DEFAULT_MAX_TOKENS, Delta, ModelDown, Reply, Usage
from opg_magic.simnet.model.upstream import Upstream
from opg_magic.weights import check, conversation, fetch, gguf, llama

#: Most tokens of a conversation, question and answer together.
CONTEXT = 4096
#: Memory beside the weights: the context's cache and the working space, in bytes.
WORKING = 400_000_000
#: Seconds for the first token.
_TRIAL = 120
#: Threads that compute.  A thread more than there are idle cores makes all of them wait.
THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))


@dataclass(frozen=True, slots=True)
class Weights:
    """A GGUF file that was looked at.  ``model`` is the name that prompts ask for it by,
    ``about`` says for people what it is, ``context`` is what it was trained for, in tokens."""

    path: Path
    sha256: str
    model: str
    about: str
    context: int


def examine(path: Path) -> Weights:
    """Look at a GGUF file before llama.cpp does.  Raises WeightsError if it is not a whole one, and
    SimnetError if it does not fit into memory."""
    header = gguf.read(path)
    size, free = path.stat().st_size, _free_memory()
    if free is not None and size + WORKING > free:
        raise SimnetError(
            f"{path.name} is too large: it needs about {fetch.megabytes(size + WORKING)} of "
            f"memory, and {fetch.megabytes(free)} are free.",
            hint="Let a script answer: opg simnet up --scripted",
        )
    sha256 = fetch.sha256_of(path)
    known = fetch.by_sha256(sha256)
    if known is not None:
        return Weights(path, sha256, known.model, f"{known.title}, {known.parameters}", CONTEXT)
    return Weights(path, sha256, name_of(path), header.name or path.stem, header.context or CONTEXT)


def _free_memory() -> int | None:
    """Bytes that can be had without swapping (Linux); None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


class LocalModel:
    """The model of a GGUF file.  :meth:`open` loads it."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.about = f"{weights.model} ({weights.about})"
        self.model: str | None = weights.model
        self.any_model = False
        #: How answers name it, without a provider, as hosts name models.
        self.name = weights.model.rpartition("/")[2]
        self._server: Any = None
        self._relay: Upstream | None = None
        self._swapped: dict[str, LocalModel] = {}
        self._making = asyncio.Lock()

    async def open(self) -> None:
        """Load the weights, and let them give one token.  Raises SimnetError if they cannot."""
        key = Secret(secrets.token_urlsafe(32))
        self._server = await asyncio.to_thread(_serve, self.weights, key)
        try:
            await asyncio.to_thread(_try, self._server, self.weights.path.name, key)
        except SimnetError:
            self._server = None
            raise
        self._relay = Upstream(str(self._server.listening_address), key=key)

    async def swapped(self, how: Literal["another", "coarser"]) -> LocalModel:
        """Other weights under this name, made of these and loaded when they are first asked for."""
        async with self._making:
            if how not in self._swapped:
                path = paths.simnet_dir() / f"{self.weights.sha256[:16]}-{how}.gguf"
                if not path.exists():
                    make = variants.another if how == "another" else variants.coarser
                    try:
                        await asyncio.to_thread(make, self.weights.path, path)
                    except WeightsError as error:
                        raise ModelDown(error.message) from None
                made = LocalModel(replace(self.weights, path=path))
                await made.open()
                self._swapped[how] = made
            return self._swapped[how]

    async def close(self) -> None:
        """Give the weights back."""
        for other in self._swapped.values():
            await other.close()
        self._swapped.clear()
        if self._relay is not None:
            await self._relay.close()
        self._relay = self._server = None

    async def reply(self, body: Mapping[str, Any], kind: Kind) -> Reply:
        """See :class:`~opg_magic.simnet.model.interface.Model`."""
        if kind == "chat" and _offered(body):
            called = await self._call(body)
            if called is not None:
                return called
        reply = await self._opened.reply(self._request(body, kind), kind)
        return replace(reply, model=self.name)

    async def stream(self, body: Mapping[str, Any], kind: Kind) -> AsyncIterator[Delta]:
        """See :class:`~opg_magic.simnet.model.interface.Model`."""
        if kind == "chat" and _offered(body):
            called = await self._call(body)
            if called is not None:
                for index, call in enumerate(called.tool_calls):
                    yield Delta(tool_calls=({**call, "index": index},), model=self.name)
                yield Delta(finish_reason=called.finish_reason, usage=called.usage, model=self.name)
                return
        async for delta in self._opened.stream(self._request(body, kind), kind):
            yield replace(delta, model=self.name)

    @property
    def _opened(self) -> Upstream:
        if self._relay is None:
            raise SimnetError("the model is not loaded")
        return self._relay

    # ------------------------------------------------------------------------------------- requests

    def _request(self, body: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
        """The request as llama.cpp gets it.  Like the hosts it stands behind, it never applies
        ``stop`` and takes ``max_tokens: 0`` as 4096."""
        asked: dict[str, Any] = {
            **conversation.SAMPLING,
            "model": self.name,
            "temperature": _or(body.get("temperature"), conversation.TEMPERATURE),
            "max_tokens": int(body.get("max_tokens") or DEFAULT_MAX_TOKENS),
            # Nothing of an earlier request is used again: other sums of the same numbers would be
            # other texts.
            "cache_prompt": False,
        }
        for name in ("top_p", "seed"):
            if body.get(name) is not None:
                asked[name] = body[name]
        if kind == "completion":
            return {**asked, "prompt": str(body.get("prompt", ""))}
        asked["messages"] = conversation.turns(body.get("messages") or (), self.weights.sha256)
        form = body.get("response_format")
        compact = _compact(form)
        if compact is not None:
            asked["grammar"] = compact
        elif form is not None and form.get("type") != "text":
            asked["response_format"] = form
        return asked

    async def _call(self, body: Mapping[str, Any]) -> Reply | None:
        """The model's call of one of the functions that it is offered; None where it wants none.

        Two questions, both answered by grammar: which function, then its arguments."""
        offered = {str(function["name"]): function for function in _offered(body)}
        choice = body.get("tool_choice")
        spent: list[Usage] = []
        if isinstance(choice, Mapping):
            name = str((choice.get("function") or {}).get("name"))
        elif choice == "required" and len(offered) == 1:
            (name,) = offered
        else:
            names = [*offered, *(() if choice == "required" else ("none",))]
            task = "Choose the function that answers the request, or none."
            said = await self._answer_in(
                {"type": "object", "properties": {"function": {"enum": names}},
                 "required": ["function"]},
                body, f"You can use these functions:\n{_listed(offered.values())}\n{task}", spent,
            )  # fmt: skip
            name = str(said.get("function"))
        function = offered.get(name)
        if function is None:
            return None
        schema = function.get("parameters") or {"type": "object"}
        task = f"Give the arguments of the function for the request:\n{_listed([function])}"
        arguments = json.dumps(await self._answer_in(schema, body, task, spent), ensure_ascii=False)
        called = f"{name}\n{arguments}\n{json.dumps(body.get('messages'), default=str)}"
        call_id = "call_" + hashlib.sha256(called.encode()).hexdigest()[:24]
        call = {
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        usage = Usage(
            sum(one.prompt_tokens for one in spent), sum(one.completion_tokens for one in spent)
        )
        return Reply((), usage, self.name, (call,))

    async def _answer_in(
        self, schema: Mapping[str, Any], body: Mapping[str, Any], task: str, spent: list[Usage]
    ) -> dict[str, Any]:
        """What the model says to ``task`` about the conversation, in the form of a JSON schema."""
        turns = [m for m in body.get("messages") or () if m.get("role") != "system"]
        asked = self._request(
            {
                **body,
                "messages": [{"role": "system", "content": task}, *turns],
                "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
            },
            "chat",
        )
        reply = await self._opened.reply(asked, "chat")
        spent.append(reply.usage)
        try:
            said = json.loads(reply.text)
        except ValueError:
            # Cut by max_tokens: what there is of it is not JSON.
            return {}
        return said if isinstance(said, dict) else {}


def _offered(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The functions that a request lets the model call now: none once a function has answered."""
    messages = body.get("messages") or ()
    if body.get("tool_choice") == "none" or (messages and messages[-1].get("role") == "tool"):
        return []
    functions = [
        tool.get("function") or {}
        for tool in body.get("tools") or ()
        if isinstance(tool, Mapping) and tool.get("type") == "function"
    ]
    return [one for one in functions if isinstance(one.get("name"), str) and one["name"]]


#: Words of a schema that llguidance takes for certain: one that it does not take, llama.cpp would
#: silently leave out, and the answer would have no form at all.
_KNOWN = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf",
     "$ref", "$defs", "description", "title"}
)  # fmt: skip
#: JSON on one line, as Python writes it.
_ONE_LINE = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}


def _compact(form: Mapping[str, Any] | None) -> str | None:
    """A grammar of a strict schema's answers on one line; None where the server's own is as good.

    That one lets a model write line breaks and indents: three times the tokens of a short answer.
    """
    named = (form or {}).get("json_schema") or {}
    schema = named.get("schema")
    if named.get("strict") is not True or schema is None or not _is_known(schema):
        return None
    guided = {**schema, "x-guidance": _ONE_LINE}
    return f"%llguidance {{}}\nstart: %json {json.dumps(guided)}"


def _is_known(schema: Any) -> bool:
    """Whether a schema has known words alone, no object that admits other keys, and references to
    its own definitions."""
    if not isinstance(schema, Mapping) or not set(schema) <= _KNOWN:
        return False
    if "properties" in schema and schema.get("additionalProperties") is not False:
        return False
    if not str(schema.get("$ref", "#/$defs/")).startswith("#/$defs/"):
        return False
    inner = [*(schema.get("properties") or {}).values(), *(schema.get("$defs") or {}).values()]
    inner += [*(schema.get("anyOf") or ()), *([schema["items"]] if "items" in schema else ())]
    return all(_is_known(one) for one in inner)


def _listed(functions: Any) -> str:
    """Functions as a model reads them, one a line."""
    return "\n".join(
        f"- {one['name']}: {one.get('description') or ''} Parameters: "
        f"{json.dumps((one.get('parameters') or {}).get('properties') or {})}"
        for one in functions
    )


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _serve(weights: Weights, key: Secret[str]) -> Any:
    """llama.cpp's server over these weights, listening on loopback."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights.path)
    parameters.n_ctx = min(CONTEXT, weights.context)
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = THREADS
    parameters.cpuparams_batch.n_threads = THREADS
    parameters.hostnames = ["127.0.0.1"]
    parameters.api_keys = [key.reveal()]
    parameters.ui = False
    parameters.warmup = False
    # Errors alone: prompts are nobody's to log.
    parameters.verbosity = 1
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise SimnetError(
            _why_not(weights.path) or f"llama.cpp cannot load {weights.path.name}: {error}",
            hint="Let a script answer: opg simnet up --scripted",
        ) from None


def _why_not(path: Path) -> str | None:
    """What llama.cpp says against a file: its server keeps the reason for itself."""
    try:
        llama.version()
    except WeightsError:
        return None
    try:
        check.tried(path)
    except WeightsError as error:
        return error.message
    return None


def _try(server: Any, name: str, key: Secret[str]) -> None:
    """One token of an answer.  Damaged weights load, and then give no numbers: an answer of theirs
    has no end, and is paid."""
    asked = {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 1,
    }
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key.reveal()}"}
    at = urlsplit(server.listening_address)
    # No environment's proxy comes between: it would learn the key.
    connection = HTTPConnection(str(at.hostname), at.port, timeout=_TRIAL)
    with closing(connection):
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(asked), headers)
            answer = json.load(connection.getresponse())
            told = answer["choices"][0]["logprobs"]["content"][0]["logprob"]
        except (OSError, HTTPException, ValueError, LookupError, TypeError):
            raise SimnetError(f"llama.cpp gives no answer with {name}.") from None
    if not isinstance(told, int | float):
        raise SimnetError(f"{name} gives no numbers: the file is damaged.")
