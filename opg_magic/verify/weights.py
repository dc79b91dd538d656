"""The weights claim: these open weights give this answer for this request (attacks 31 to 35).

A statistic with a known false-alarm rate (docs/weights.md), never a proof: other weights may give
the same short answer.  What is judged are the figures of one run
(:mod:`opg_magic.weights.check`).

At temperature 0 every token should be the model's first choice.  Another processor or version
rounds otherwise, so that a near tie falls to the other side: a gap up to ``tolerance`` is allowed,
and of all that goes beyond, together as much again.  At a higher temperature the answer's
likelihood under the sampler is compared with what the model itself would have on average."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import Basis, Claim, Evidence, Trust, WeightsEvidence, strict_json
from opg_magic.verify._claims import failed, missing, not_applicable, passed

#: How hosts draw a token, where the request does not say otherwise: llama.cpp's own defaults.
TOP_K, TOP_P, MIN_P = 40, 0.95, 0.05
#: Gap that other processors and versions of llama.cpp made between two tokens, in millionths of a
#: nat; and the gap where host and verifier have the same build.
ANY_RUNTIME = 300_000
SAME_RUNTIME = 20_000
#: Each so many tokens may add as much again to what goes beyond the tolerance.
_TOKENS = 300
#: How many standard deviations the likelihood of an answer may be from its mean.
_DEVIATIONS = 4.5
#: Tokens that an honest sampler may seem never to draw: texts cut into tokens in another way.
_OUTSIDE = 2
#: Most that one token drawn from :data:`TOP_K` adds to the variance, in millionths of a square nat:
#: ln(k - 1)^2 / 4 + 1 (Reeb and Wolf, arXiv 1304.0036, lemma 15).
_MOST_VARIANCE = 4_356_000
#: Most by which one such token is likelier than the average one, in millionths of a nat: ln(k).
_MOST_LIKELY = 3_689_000
#: What was measured of honest hosts (docs/weights.md), for whoever reads that a run was done.
MEASURED = (
    "The check weights is a statistic. Measured with one small model: of 800 honest answers at"
    " temperature 0 it refused 0, of 400 above temperature 0 it refused 1."
)
#: A model's first choices, in the words of a failure.
_FIRST = 5


def check(evidence: Evidence, trust: Trust) -> Claim:
    """Whether the stated weights give this answer.

    Facts: ``weights_sha256``, ``runtime``, ``tokens`` (how many were compared), ``first`` (how many
    are the model's first choice), ``largest_gap`` (millionths of a nat)."""
    run = evidence.weights
    if run is None:
        return _without(evidence)
    basis = Basis.RE_RUN if not trust.reader or "weights" in trust.asked else Basis.RECORDED
    count = len(run.tokens) + run.end
    facts: dict[str, Any] = {
        "weights_sha256": run.weights_sha256,
        "runtime": run.runtime,
        "tokens": count,
        "first": count - len(run.misses),
        "largest_gap": max((gap for _, _, gap in run.misses), default=0),
    }
    fault = _fault(evidence, run)
    if fault is not None:
        sentence = "The run of the weights is not about this answer."
        return failed("weights", Basis.PROVEN, sentence, *fault, **facts)
    return (_sampled if _heated(evidence) else _greedy)(run, basis, facts)


def _without(evidence: Evidence) -> Claim:
    code, reason = evidence.weights_not_run or ("not-run", "no run of open weights is kept here")
    if code in {"not-run", "closed", "forced"}:
        return not_applicable("weights", "No weights were run again.", code, reason)
    return missing("weights", "The weights could not be run again.", code, reason)


def _greedy(run: WeightsEvidence, basis: Basis, facts: dict[str, Any]) -> Claim:
    count, first = facts["tokens"], facts["first"]
    beyond = sum(max(0, gap - run.tolerance) for _, _, gap in run.misses)
    # beyond > tolerance x (1 + count / 300), in whole numbers.
    if beyond * _TOKENS > run.tolerance * (_TOKENS + count):
        far = sum(rank > _FIRST for _, rank, _ in run.misses)
        reason = f"{count - first} of {count} tokens are not the first choice of these weights"
        if far:
            reason = f"{far} of {count} tokens are not among the first {_FIRST} of these weights"
        sentence = "These weights do not give this answer."
        return failed("weights", basis, sentence, "other-weights", reason, **facts)
    sentence = f"{first} of {count} tokens are the model's first choice"
    if first < count:
        sentence += f", the others at most {_nats(facts['largest_gap'])} nats from it"
    return passed("weights", basis, f"{sentence}.", **facts)


def _sampled(run: WeightsEvidence, basis: Basis, facts: dict[str, Any]) -> Claim:
    count = facts["tokens"]
    surplus, variance, outside = run.surplus or 0, run.variance or 0, run.outside or 0
    if outside > _OUTSIDE + count // 100:
        reason = f"{outside} of {count} tokens would never be drawn at this temperature"
        sentence = "These weights do not give this answer."
        return failed("weights", basis, sentence, "other-weights", reason, **facts)
    # (surplus / 10^6)^2 > D^2 x variance / 10^6; one nat more for rounding where there is no
    # choice.
    bound = _DEVIATIONS * _DEVIATIONS * (variance * 1e6 + 1e12)
    if float(surplus) * float(surplus) > bound:
        way = "less" if surplus > 0 else "more"
        reason = f"the answer is far {way} likely than answers of these weights are"
        sentence = "These weights, at this temperature, do not give this answer."
        return failed("weights", basis, sentence, "unlikely", reason, **facts)
    sentence = f"The {count} tokens are as likely as those that these weights draw."
    return passed("weights", basis, sentence, **facts)


def _fault(evidence: Evidence, run: WeightsEvidence) -> tuple[str, str] | None:
    """(code, reason): the run is about another call, or cannot have come out of any."""
    request, text = _signed(evidence), evidence.response.text
    if run.request_sha256 != hashed(evidence.request.canonical):
        return "not-ours", "the request that was run is not this one"
    if text is None or evidence.response.tool_calls is not None:
        return "not-ours", "the call has no text that weights could have given"
    if run.answer_sha256 != hashed(text):
        return "not-ours", "the answer that was run is not this one"
    name = request.get("model")
    if not isinstance(name, str) or run.model != name[:256]:
        return "not-ours", "the model that was run is not the one asked for"
    if evidence.request.kind != "chat" or by_grammar(request):
        return "not-ours", "not the weights alone chose the tokens of this answer"
    reason = _contradiction(run, len(text.encode("utf-8", "surrogatepass")), top_p(evidence))
    if reason is None and any(
        (figure is None) == _heated(evidence) for figure in (run.surplus, run.variance, run.outside)
    ):
        reason = "the figures are not those of this temperature"
    return None if reason is None else ("format", reason)


def _contradiction(run: WeightsEvidence, size: int, share: float) -> str | None:
    """Why no run over an answer of ``size`` bytes, drawn with that ``share`` as top-p, gives such
    figures; None if one may.

    More tokens and more variance allow more, so that both have a bound."""
    count = len(run.tokens) + run.end
    if count == 0:
        return "no token was compared"
    # A token has a byte; some vocabularies put one before the text that stands for no byte of it.
    if len(run.tokens) > size + 1:
        return "the answer is too short for so many tokens"
    if run.tolerance > ANY_RUNTIME:
        return "more was allowed than rounding explains"
    stated = (float(run.top_p) - share, float(run.min_p) - MIN_P, run.top_k - TOP_K)
    if any(abs(difference) > 1e-6 for difference in stated):
        return "the tokens were judged by another sampler than hosts use"
    surplus, variance, outside = run.surplus or 0, run.variance or 0, run.outside or 0
    before = -1
    # The sampler leaves out no first choice.
    possible = (
        outside <= len(run.misses)
        and variance <= _MOST_VARIANCE * count
        and -surplus <= _MOST_LIKELY * count
    )
    for at, rank, _ in run.misses:
        possible = possible and before < at < count and rank >= 2
        before = at
    return None if possible else "the figures of the run contradict each other"


def by_grammar(request: Mapping[str, Any]) -> bool:
    """Whether a request has tools or a schema: a grammar then chose tokens together with the
    model."""
    plain: tuple[Any, ...] = (None, {}, {"type": "text"})
    return request.get("tools") not in (None, []) or request.get("response_format") not in plain


def top_p(evidence: Evidence) -> float:
    """The request's ``top_p``, which no signature covers, as it was sent; :data:`TOP_P` if it has
    none that can be used."""
    sent = _object(evidence.request.body).get("top_p")
    if isinstance(sent, int | float) and not isinstance(sent, bool) and 0 < sent <= 1:
        return float(sent)
    return TOP_P


def hashed(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, lower-case hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _heated(evidence: Evidence) -> bool:
    """Whether a temperature above 0 was signed; not where the request cannot be read."""
    value = _signed(evidence).get("temperature", 0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value > 0


def _signed(evidence: Evidence) -> dict[str, Any]:
    return _object(evidence.request.canonical)


def _object(text: str) -> dict[str, Any]:
    """The JSON object of a text; an empty one where there is none."""
    try:
        found = strict_json.loads(text)
    except MalformedMessage:
        return {}
    return found if isinstance(found, dict) else {}


def _nats(gap: int) -> str:
    """Millionths of a nat, rounded up to hundredths."""
    hundredths = -(-gap // 10_000)
    return f"{hundredths // 100}.{hundredths % 100:02d}"
