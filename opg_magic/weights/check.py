"""Running a call's weights again: its evidence in, the figures of one run out.

What the figures mean is decided in :mod:`opg_magic.verify.weights`, for whoever reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opg_magic.errors import ConfigError, MalformedMessage, WeightsError
from opg_magic.models import Evidence, WeightsEvidence, strict_json
from opg_magic.verify.weights import ANY_RUNTIME, SAME_RUNTIME, by_grammar, hashed, top_p
from opg_magic.weights import conversation, store
from opg_magic.weights.runner import Closing, Runner, examine

#: Millionths, in which the figures of a run are kept.
_UNIT = 1_000_000
_MOST = 1_000_000_000
_MOST_SUM = 10**15
#: Tokens after which hosts end an answer, where the request sets no bound.
_HOSTS_MOST = 4096

_NO_TEMPLATE = "the file has no chat template"
_NOT_HERE = "the weights are not on this machine"

Starter = Callable[[Path], Runner]


class Checker(Closing):
    """Runs weights again for as many calls as wanted; each file is loaded once, in a child process
    that ends with the block.

    ``start`` makes the runner of a file."""

    def __init__(self, start: Starter = Runner) -> None:
        self._start = start
        self._runners: dict[str, Runner] = {}

    def run(self, evidence: Evidence) -> Evidence:
        """The evidence with a run of the weights that this user pinned under the model's name.

        Where they cannot be run, with the reason instead (``weights_not_run``).  A run of other
        weights that the receipt holds is then dropped.  Never raises WeightsError or ConfigError:
        the answer is paid for, and a model that cannot be run says nothing about it."""
        request = _request(evidence)
        reason = _not_for(evidence, request)
        if reason is not None:
            return replace(evidence, weights_not_run=reason)
        pin = None
        try:
            pin = store.pinned(request["model"])
            if pin is None:
                closed = ("closed", "its weights are not known here")
                return replace(evidence, weights_not_run=closed)
            runner = self._runner(pin)
            result = runner.run(job(request, evidence.response.text or "", runner, pin.sha256))
        except (ConfigError, WeightsError) as error:
            return _without(evidence, pin, _sentence(error))
        run = figures(result, evidence, request, pin, runner)
        return replace(evidence, weights=run, weights_not_run=None)

    def _runner(self, pin: store.Pin) -> Runner:
        runner = self._runners.get(pin.sha256)
        if runner is not None and runner.alive:
            return runner
        if pin.path is None:
            raise WeightsError(_NOT_HERE)
        store.unchanged(pin.path, pin.sha256)
        self._runners[pin.sha256] = self._start(pin.path)
        return self._runners[pin.sha256]

    def close(self) -> None:
        """End every child process."""
        for runner in self._runners.values():
            runner.close()
        self._runners.clear()


def hindrance(model: str) -> str | None:
    """Why the weights that are pinned under a model's name cannot be run here; None where nothing
    is known against it, or none are pinned.  Nothing is loaded."""
    try:
        # The name that hosts are sent, and that they sign, has no provider.
        pin = store.pinned(model.rpartition("/")[2])
        if pin is None:
            return None
        if pin.path is None:
            return _NOT_HERE
        header = examine(pin.path)
        store.unchanged(pin.path, pin.sha256)
    except WeightsError as error:
        return _sentence(error)
    return _NO_TEMPLATE if header.template is None else None


def tried(path: Path) -> None:
    """Load the file and run it over one short answer, in a child process.

    Raises WeightsError for one that no answer can be checked with: llama.cpp does not take it, it
    has no chat template or one that does not run, it gives no numbers."""
    with Runner(path, threads=1) as runner:
        if runner.header.template is None:
            raise WeightsError(f"{path.name} cannot be run over a chat: {_NO_TEMPLATE}.")
        turns = [{"role": "user", "content": "Hi"}]
        runner.run(job({"messages": turns, "temperature": 0}, "Hello.", runner, ""))


def job(request: dict[str, Any], answer: str, runner: Runner, sha256: str) -> dict[str, Any]:
    """What the child is asked for a chat request and its answer
    (:func:`opg_magic.weights.worker.run`)."""
    if runner.header.template is None:
        raise WeightsError(_NO_TEMPLATE)
    sampling = conversation.SAMPLING
    return {
        "template": runner.header.template,
        "messages": conversation.turns(request["messages"], sha256),
        "answer": answer,
        "temperature": request["temperature"],
        "top_k": sampling["top_k"],
        "top_p": request.get("top_p", sampling["top_p"]),
        "min_p": sampling["min_p"],
        "end": True,
        "max_tokens": request.get("max_tokens") or _HOSTS_MOST,
        "stopped": bool(request.get("stop")),
    }


def figures(
    result: dict[str, Any],
    evidence: Evidence,
    request: dict[str, Any],
    pin: store.Pin,
    runner: Runner,
) -> WeightsEvidence:
    """A child's result as it is kept and judged."""
    header, sampling = runner.header, conversation.SAMPLING
    heated = request["temperature"] > 0
    ranked = zip(result["ranks"], result["gaps"], strict=True)
    misses = [
        (at, rank, min(round(gap * _UNIT), _MOST))
        for at, (rank, gap) in enumerate(ranked)
        if rank > 1
    ]
    return WeightsEvidence(
        model=request["model"][:256],
        weights_sha256=pin.sha256,
        tokenizer_sha256=header.tokenizer_sha256,
        template_sha256=header.template_sha256,
        runtime=runner.runtime,
        top_k=sampling["top_k"],
        top_p=f"{request['top_p']:f}",
        min_p=f"{sampling['min_p']:f}",
        request_sha256=hashed(evidence.request.canonical),
        answer_sha256=hashed(evidence.response.text or ""),
        prompt_tokens=len(result["prompt"]),
        tokens=tuple(result["tokens"]),
        end=result["end"],
        misses=tuple(misses),
        tolerance=SAME_RUNTIME if pin.same_build else ANY_RUNTIME,
        surplus=_bounded(result["surplus"]) if heated else None,
        variance=_bounded(result["variance"]) if heated else None,
        outside=result["outside"] if heated else None,
        at=datetime.now(UTC),
    )


def _bounded(value: float) -> int:
    return max(-_MOST_SUM, min(round(value * _UNIT), _MOST_SUM))


def _without(evidence: Evidence, pin: store.Pin | None, reason: str) -> Evidence:
    stated = evidence.weights
    if stated is not None and pin is not None and stated.weights_sha256 != pin.sha256:
        reason = f"{reason.rstrip('.')}; the receipt's own run was of other weights than yours"
        evidence = replace(evidence, weights=None)
    return replace(evidence, weights_not_run=("not-run-here", reason))


def _request(evidence: Evidence) -> dict[str, Any]:
    """The signed request, with ``top_p``, which no signature covers, as it was sent beside it."""
    try:
        signed = strict_json.loads(evidence.request.canonical)
    except MalformedMessage:
        return {}
    return signed | {"top_p": top_p(evidence)} if isinstance(signed, dict) else {}


def _not_for(evidence: Evidence, request: dict[str, Any]) -> tuple[str, str] | None:
    """(code, reason) where no run can say anything about this call."""
    if evidence.request.kind != "chat" or not isinstance(request.get("messages"), list):
        return "forced", "only chat requests are run again"
    if not isinstance(request.get("model"), str) or not isinstance(
        request.get("temperature"), int | float
    ):
        return "forced", "the request does not say which model at which temperature"
    if by_grammar(request):
        return "forced", "a grammar chose the answer's tokens together with the model"
    if not evidence.response.text or evidence.response.tool_calls is not None:
        return "forced", "there is no answer in words"
    return None


def _sentence(error: ConfigError | WeightsError) -> str:
    told = error.message if error.hint is None else f"{error.message} {error.hint}"
    return told[:1].lower() + told[1:] if told[1:2].islower() else told
