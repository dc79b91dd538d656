"""The child process that runs a model: one JSON job a line in, one JSON result a line out.

It ends when its input ends.  A crash of native code ends it, and nothing else."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from opg_magic.errors import WeightsError
from opg_magic.weights import llama, template

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: How often another way to cut the same text into tokens is followed, before the text as it is
#: usually cut is judged.
_MOST_RECUTS = 24
#: What the rounding of another processor may change in a comparison of two tokens, in nats.
_SOFT = 0.3
#: The gap of a token that a model rules out (log-probability minus infinity), in nats.
_FARTHEST = 1000.0
#: Below this temperature the sampler has no choice either.
_COLDEST = 1e-9


def serve(source: TextIO, sink: TextIO) -> None:
    """Answer jobs until ``source`` ends.  The first line names the file and its limits."""
    model: llama.Model | None = None
    for line in source:
        try:
            job = json.loads(line)
            if model is None:
                model = llama.Model(
                    llama.Library(),
                    Path(job["path"]),
                    context=job["context"],
                    threads=job["threads"],
                    batch=job["batch"],
                )
                result = {
                    "runtime": f"xllamacpp {model.library.version}",
                    "llama_cpp": model.library.llama_cpp,
                    "vocabulary": model.size,
                }
            else:
                result = run(model, job)
        except WeightsError as error:
            result = {"error": error.message, "hint": error.hint}
        except (MemoryError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            result = {"error": f"The run ended early: {type(error).__name__}: {error}"}
        sink.write(json.dumps(result) + "\n")
        sink.flush()
        if model is None:
            return


def run(model: llama.Model, job: dict[str, Any]) -> dict[str, Any]:
    """One teacher-forced run.

    ``job``: ``template`` and ``messages``, or ``prompt`` (text as it stands); ``answer``;
    ``temperature``, ``top_k``, ``top_p``, ``min_p``; ``end``: whether the answer ended by itself,
    so that the token that ends it counts too, unless ``max_tokens`` may have cut it; ``most``
    tokens in all; ``stopped``: the request names texts at which the answer ends."""
    if "prompt" in job:
        text = job["prompt"]
    else:
        first, last = model.first.decode(), model.last.decode()
        text = template.render(job["template"], job["messages"], first=first, last=last)
        if first and model.adds_first and text.startswith(first):
            text = text[len(first) :]
    prompt = model.tokens(text.encode(), special=True)
    answer = job["answer"].encode()
    if not prompt or not (answer or job["end"]):
        raise WeightsError("There is nothing to run: no prompt, or no answer.")
    if len(prompt) + len(answer) > job["most"]:  # a token has at least one byte
        tokens = model.tokens(answer, special=False)
        if len(prompt) + len(tokens) > job["most"]:
            raise WeightsError(
                f"Prompt and answer have {len(prompt) + len(tokens):,} tokens; the model takes"
                f" {job['most']:,}."
            )
    tokens = model.tokens(answer, special=False)
    # A host's count may differ by the few bytes of a character that it held back.
    cut = job.get("max_tokens") is not None and len(tokens) + 4 >= job["max_tokens"]
    if job.get("stopped") and len(tokens) > 1:
        # A text of ``stop`` may have ended the answer, within what the model gave as one token.
        answer, cut = answer[: -len(model.piece(tokens[-1])) or None], True
    job = {**job, "end": job["end"] and not cut}
    judged = _followed(model, prompt, answer, job)
    return {
        "prompt": prompt,
        "tokens": judged.tokens,
        "end": job["end"],
        "ranks": judged.ranks,
        "gaps": judged.gaps,
        "recuts": judged.recuts,
        "surplus": judged.surplus,
        "variance": judged.variance,
        "outside": judged.outside,
    }


class _Run:
    """An answer's tokens, and what the model says of each."""

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens
        self.ranks: list[int] = []
        self.gaps: list[float] = []
        self.recuts = 0
        self.surplus = self.variance = 0.0
        self.outside = 0

    def keep(self, row: NDArray[np.float32], token: int, job: dict[str, Any]) -> None:
        """Rank of ``token``, and how far its log-probability is below the best one's; at a
        temperature, what it says of the sampler too.

        Raises WeightsError for a row that is not numbers: each token would pass as its best one."""
        best = float(row.max())
        if not math.isfinite(best):
            raise WeightsError("These weights give no numbers: the file is damaged.")
        self.ranks.append(1 + int((row > row[token]).sum()))
        self.gaps.append(min(best - float(row[token]), _FARTHEST))
        if job["temperature"] > 0:
            surplus, variance, inside = likelihood(row, token, job)
            self.surplus += surplus
            self.variance += variance
            self.outside += not inside


class _Left(NamedTuple):
    """A cut that was left for the model's own first choice, ``gap`` nats above its token."""

    position: int
    offset: int
    tokens: list[int]
    gap: float


def _followed(model: llama.Model, prompt: list[int], answer: bytes, job: dict[str, Any]) -> _Run:
    """What the model says of each token; of the ways to cut the text into tokens, its own.

    A text is usually cut in one way, and a model may have written it in another ("\\n" twice for
    "\\n\\n").  At temperature 0, where the model's first choice is clearly another token and the
    text goes on with it all the same, that cut is followed: asked is whether the model gives the
    text.  Where the next token then fits worse than the one that was left, it was no other cut but
    a near tie (" " before "early" for " early"), and the first one stands."""
    run = _Run(model.tokens(answer, special=False))
    offset, again = 0, True
    left: list[_Left] = []
    stands: set[tuple[int, ...]] = set()
    while again:
        again = False
        for index, row in model.logits(prompt + run.tokens, len(prompt) - 1 + len(run.ranks)):
            position = index - len(prompt) + 1
            ends = position == len(run.tokens)
            if ends and not job["end"]:
                break
            token = _best_end(model, row) if ends else run.tokens[position]
            best, cut = int(row.argmax()), tuple(run.tokens[: position + 1])
            gap = float(row[best] - row[token])
            piece = model.piece(best)
            if (
                job["temperature"] == 0
                and gap > _SOFT
                and not ends
                and cut not in stands
                and run.recuts < _MOST_RECUTS
                and piece
                and answer[offset:].startswith(piece)
            ):
                left.append(_Left(position, offset, list(run.tokens), gap))
                rest = model.tokens(answer[offset + len(piece) :], special=False)
                run.tokens[position:] = [best, *rest]
                run.recuts += 1
                again = True
                break
            if left and left[-1].position == position - 1 and gap > left[-1].gap:
                position, offset, run.tokens, _ = left.pop()
                stands.add(tuple(run.tokens[: position + 1]))
                del run.ranks[position:], run.gaps[position:]
                again = True
                break
            run.keep(row, token, job)
            offset += 0 if ends else len(model.piece(token))
    return run


def _best_end(model: llama.Model, row: NDArray[np.float32]) -> int:
    """Of the tokens that end an answer the likeliest one."""
    return max(model.ending, key=lambda token: float(row[token]))


def likelihood(
    row: NDArray[np.float32], token: int, job: dict[str, Any]
) -> tuple[float, float, bool]:
    """(surplus, variance, inside) of one token under the sampler, in nats.

    The sampler is llama.cpp's: ``top_k``, ``top_p`` and ``min_p`` cut the distribution, then it is
    heated to ``temperature``.  Surplus is the token's negative log-probability less its expected
    value (the entropy): 0 on average for an honest host, whose variance is given too.  A token
    outside what the sampler leaves counts as its least likely one, and ``inside`` is False; the
    cut itself is soft by :data:`_SOFT` nats, for the rounding of other processors."""
    import numpy as np

    order = np.sort(row.astype(np.float64))[::-1]
    if job["top_k"] > 0:
        order = order[: job["top_k"]]
    weights = np.exp(order - order[0])
    if job["top_p"] < 1:
        share = np.cumsum(weights) / weights.sum()
        order = order[: int(np.searchsorted(share, job["top_p"])) + 1]
    if job["min_p"] > 0:
        order = order[order >= order[0] + np.log(job["min_p"])]
    # Bounded: divided by a temperature near 0 these are more than numbers hold.
    temperature = max(job["temperature"], _COLDEST)
    heated = np.maximum((order - order[0]) / temperature, -_FARTHEST)
    total = np.log(np.exp(heated).sum())
    logs = heated - total
    shares = np.exp(logs)
    entropy = -float((shares * logs).sum())
    variance = float((shares * logs * logs).sum()) - entropy * entropy
    inside = bool(row[token] >= order[-1] - _SOFT)
    own = max(float(row[token]), float(order[-1]))
    drawn = max((own - float(order[0])) / temperature, -_FARTHEST)
    surplus = -(drawn - float(total)) - entropy
    return surplus, max(variance, 0.0), inside


def main() -> None:
    """Serve the parent over the pipes that it opened."""
    sink = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what native code prints is no result
    serve(sys.stdin, sink)


if __name__ == "__main__":
    main()
