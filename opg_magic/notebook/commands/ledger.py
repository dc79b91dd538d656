"""``%opg receipts``, ``show``, ``cost``, ``reconcile``, ``settle`` and ``dashboard``: what the
ledger holds, and what became of its payments."""

from __future__ import annotations

from typing import Any

from opg_magic.cells import magic_line
from opg_magic.cells.magic_line import LineError
from opg_magic.errors import CallFailed, LedgerError
from opg_magic.notebook.commands.command import Kernel, no_more, table

#: What ``%opg receipts`` can be narrowed by.
FILTERS = ("since", "until", "notebook", "model", "verdict", "network", "host", "kernel", "columns")


def receipts(kernel: Kernel, words: list[str]) -> Any:
    """``%opg receipts``"""
    return kernel.session().receipts(**_filters(words))


def show(kernel: Kernel, words: list[str]) -> None:
    """``%opg show``"""
    unverified = "--unverified" in words
    rest = [w for w in words if w != "--unverified"]
    for word in rest:
        if word.startswith("-"):
            raise LineError(
                f"unknown option {word}" + magic_line.did_you_mean(word, {"--unverified": None})
            )
    if len(rest) > 1:
        raise LineError("%opg show takes one receipt ID, or last")
    _show(kernel, rest[0] if rest else "last", unverified=unverified)


def verify(kernel: Kernel, words: list[str]) -> None:
    """``%opg verify``"""
    from opg_magic.display import bundle

    weights = "--weights" in words
    rest = [w for w in words if w != "--weights"]
    for word in rest:
        if word.startswith("-"):
            raise LineError(
                f"unknown option {word}" + magic_line.did_you_mean(word, {"--weights": None})
            )
    if len(rest) > 1:
        raise LineError("%opg verify takes one receipt ID, or last")
    answer = kernel.session().verify(rest[0] if rest else "last", weights=weights)
    kernel.display(bundle.answer_bundle(answer))
    kernel.result(answer)


def cost(kernel: Kernel, words: list[str]) -> Any:
    """``%opg cost``"""
    no_more(words, "cost")
    session = kernel.session()
    session.reconcile()
    spent = session.overview.spending()
    rows = [
        ("one call", "", "", str(spent.call_limit)),
        (
            "this kernel",
            str(spent.kernel_cost),
            str(spent.kernel_reserved),
            str(spent.kernel_limit),
        ),
        (
            "today (UTC), all kernels",
            str(spent.day_cost),
            str(spent.day_reserved),
            str(spent.day_limit),
        ),
    ]
    if (relayed := spent.relayed) is not None:
        rows += [
            ("calls through a relay, today", f"{relayed.calls:,}", "", f"{relayed.calls_limit:,}"),
            ("their tokens", f"{relayed.tokens:,}", "", f"{relayed.tokens_limit:,}"),
        ]
    return table(rows, ("over", "settled, or claimed by hosts", "reserved", "limit"))


def reconcile(kernel: Kernel, words: list[str]) -> None:
    """``%opg reconcile``"""
    from opg_magic.models.plain_text import plural

    no_more(words, "reconcile")
    session = kernel.session()
    known = session.reconcile()
    spent = session.overview.spending()
    print(f"{plural(known, 'authorisation')} settled or expired.", end=" ")
    print(f"Reserved now: {spent.kernel_reserved} by this kernel, {spent.day_reserved} today.")


def settle(kernel: Kernel, words: list[str]) -> Any:
    """``%opg settle``"""
    for word in words:
        if word != "--watch":
            raise LineError(f"%opg settle takes only --watch, not {word}")
    found = kernel.session().settle(watch="--watch" in words)
    rows = [(outcome.receipt_id, outcome.status, outcome.detail) for outcome in found]
    return table(rows, ("receipt", "settlement", "detail"))


def dashboard(kernel: Kernel, words: list[str]) -> Any:
    """``%opg dashboard``"""
    no_more(words, "dashboard")
    from opg_magic.notebook import dashboard

    return dashboard.dashboard(kernel.session())


def _show(kernel: Kernel, which: str, *, unverified: bool) -> None:
    from opg_magic.display import bundle, card

    session = kernel.session()
    ledger = session.ledger
    receipt = ledger.last() if which == "last" else ledger.get(which)
    if receipt is None:
        raise LedgerError(
            "The ledger holds no receipt yet.", hint="Run a cell that starts with %%opg."
        )
    verdict = receipt.verdict_at_creation
    if verdict is not None and (unverified or not verdict.withheld):
        from opg_magic.call.saved import saved_answer

        try:
            roots = session.simulated_roots()
            answer = saved_answer(
                receipt, session.settings, simulated_roots=roots, include_withheld=unverified
            )
        except CallFailed as problem:
            # Withheld by now, or no answer came: the card says which.
            kernel.display(
                bundle.settled_bundle(card.of_kept(receipt, problem.verdict), receipt=receipt)
            )
            return
        kernel.display(bundle.answer_bundle(answer))
        kernel.result(answer)
        return
    # Withheld, and not asked for: the card, which says how to ask.
    kernel.display(bundle.receipt_bundle(receipt))


def _filters(words: list[str]) -> dict[str, str]:
    """``FILTER=VALUE`` or ``--FILTER VALUE``; every other word is looked for."""
    filters: dict[str, str] = {}
    searched: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        key, has_value, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") and key not in FILTERS:
            near = magic_line.did_you_mean(key, dict.fromkeys(FILTERS)) if has_value else ""
            if near:
                raise LineError(f"%opg receipts has no filter {key}{near}")
            searched.append(f'"{word}"' if " " in word else word)
            continue
        if key not in FILTERS:
            raise LineError(
                f"%opg receipts has no filter {key}"
                + magic_line.did_you_mean(key, dict.fromkeys(FILTERS))
            )
        if not has_value:
            if not word.startswith("--") or not rest:
                raise LineError(f"{word} needs a value: {key}=VALUE")
            value = rest.pop(0)
        filters[key] = value
    if searched:
        filters["search"] = " ".join(searched)
    return filters
