"""What asking a table comes to, before anything is signed; refused where a limit would break."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.models import Host, Money, Prompt
from opg_magic.models.networks import Token
from opg_magic.models.plain_text import plural
from opg_magic.settings import prices

if TYPE_CHECKING:
    from opg_magic.call.engine import Engine
    from opg_magic.call.state import CallOptions, EngineSettings

#: Tokens of an answer whose length is not limited, for the estimate.
USUAL_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """``rows`` of the table, of which ``missing`` ask nothing; ``distinct`` prompts, of which
    ``recorded`` are answered in the ledger, and ``ask`` remain.

    ``estimate`` is what those may cost (None: no price is known), and ``cap`` what the
    ``authorisations`` that this takes come to, the hosts' cap each."""

    rows: int
    missing: int
    distinct: int
    recorded: int
    ask: int
    model: str
    hosts: tuple[Host, ...]
    token: Token
    estimate: Money | None
    authorisations: int
    cap: Money
    usual: bool

    def __str__(self) -> str:
        prompts = plural(self.distinct, "different prompt")
        asked = f" to {self.model}" * bool(self.model)  # unknown where nothing remains to be asked
        lines = [f"{plural(self.rows, 'row')}, {prompts}{asked}"]
        if self.missing:
            ask = "asks" if self.missing == 1 else "ask"
            lines.append(f"{plural(self.missing, 'row')} {ask} nothing: a cell is missing")
        if self.recorded:
            are = (
                "is in the ledger and costs" if self.recorded == 1 else "are in the ledger and cost"
            )
            lines.append(f"{plural(self.recorded, 'answer')} {are} nothing")
        if not self.ask:
            lines.append("nothing to ask or pay")
            return "\n".join(lines)
        names = ", ".join(host.short_id for host in self.hosts)
        guess = f" if an answer has {USUAL_TOKENS} tokens" * self.usual
        costs = "price unknown" if self.estimate is None else f"about {self.estimate}{guess}"
        lines.append(f"{self.ask:,} to ask of {plural(len(self.hosts), 'host')} ({names}): {costs}")
        if self.authorisations:
            # Hosts close a session that is idle, or old: a long table signs for more than that.
            lines.append(
                f"{plural(self.authorisations, 'authorisation')} of up to {self.cap} together, "
                "more if sessions end before the table does; max_cost bounds all of them"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


async def plan(
    engine: Engine,
    first: Prompt | None,
    options: CallOptions,
    settings: EngineSettings,
    *,
    ask: int,
    tokens: int,
    rows: int,
    missing: int,
    distinct: int,
    hosts: int,
    max_cost: int | None,
    kernel: str,
) -> Plan:
    """Return the plan for the prompts that remain to be asked: ``first``, None where none does, and
    others like it.  There are ``ask`` of them, with about ``tokens`` in their texts.  Hosts are
    asked for their terms with a dummy body; nothing is signed.

    Raises :class:`LimitExceeded` where the limits, or ``max_cost``, would not allow all of it, and
    what :meth:`Engine.quote` raises."""
    token = engine.network.token
    chosen = [] if first is None else await _usable(engine, first, options, settings, hosts)
    caps = [cap for _, cap, _ in chosen]
    estimate, usual = (
        (0, False) if first is None else _estimate(engine, first, ask, tokens, chosen[0][2])
    )
    each = max(caps, default=0)
    count = 0
    if ask and each:
        count = ask if estimate is None else max(len(chosen), -(-estimate // each))
        count = min(count, ask)
    made = Plan(
        rows=rows,
        missing=missing,
        distinct=distinct,
        recorded=distinct - ask,
        ask=ask,
        model="" if first is None else first.model,
        hosts=tuple(host for host, _, _ in chosen),
        token=token,
        estimate=None if estimate is None else Money(estimate, token),
        authorisations=count,
        cap=Money(count * each, token),
        usual=usual,
    )
    if count:
        _check(made, each, engine, settings, max_cost, kernel)
    return made


async def _usable(
    engine: Engine, prompt: Prompt, options: CallOptions, settings: EngineSettings, wanted: int
) -> list[tuple[Host, int, object]]:
    """As many usable hosts as wanted, or as there are: with their cap, and what a token is worth.

    Raises what kept the last one from being used, where there is none."""
    call = engine.start(prompt, options, settings)
    snapshot = await engine.hosts.snapshot(settings)
    engine.hosts.refuse_too_few_rpcs(call, snapshot)
    found: list[tuple[Host, int, object]] = []
    problem: errors.OpgError | None = None
    for host in engine.hosts.in_order(snapshot, options.host):
        if len(found) == wanted:
            break
        try:
            ready = await engine.hosts.check(host, snapshot, settings, policy=call.policy)
            cap, _ = await engine.route.payments.quote(call, ready, settings)
        except (errors.HostUnavailable, errors.PaymentRefused) as refused:
            problem = refused
            continue
        found.append((host, 0 if cap is None else cap.amount, ready.token_usd))
    if not found:
        raise problem or errors.HostUnavailable(
            "No host can be used now. Nothing was sent.", hint="See: %opg hosts"
        )
    return found


def _estimate(
    engine: Engine, first: Prompt, ask: int, tokens: int, token_usd: object
) -> tuple[int | None, bool]:
    """Base units that the prompts may cost, None where no price is known; and whether the length of
    the answers is a guess."""
    from decimal import Decimal

    price = engine.price(first.model)
    usual = first.max_tokens is None
    if price is None or not isinstance(token_usd, Decimal) or not token_usd:
        return None, usual
    out = USUAL_TOKENS if first.max_tokens is None else first.max_tokens
    tokens += ask * (20 + prices.estimate_tokens(first.system or ""))
    usd = prices.usd(price, tokens, out * ask)
    return prices.in_token(usd, token_usd, engine.network.token).amount, usual


def _check(
    made: Plan,
    each: int,
    engine: Engine,
    settings: EngineSettings,
    max_cost: int | None,
    kernel: str,
) -> None:
    """Refuse what a limit would stop half-way."""
    limits, token = settings.limits, engine.network.token
    limits.check_call(each, token)
    if max_cost is not None and made.cap.amount > max_cost:
        raise errors.LimitExceeded(
            f"This table may cost up to {made.cap} ({made.authorisations} authorisations); "
            f"max_cost is {Money(max_cost, token)}. Nothing was signed or sent.",
            hint="Raise max_cost, ask fewer rows or hosts, or set max_tokens.",
            cap=made.cap.amount,
            room=max_cost,
        )
    spent = engine.ledger.spending(engine.network, kernel)
    for key, allowed, used in (
        ("max_cost_per_kernel", limits.per_kernel, spent.kernel_reserved),
        ("max_cost_per_day", limits.per_day, spent.day_reserved),
    ):
        if used + made.cap.amount > allowed:
            raise errors.LimitExceeded(
                f"This table may cost up to {made.cap}; of {key} ({Money(allowed, token)}), "
                f"{Money(used, token)} is used or reserved. Nothing was signed or sent.",
                hint=f"Raise it, in a shell: opg config {key} "
                f"{Money(used + made.cap.amount, token).plain}. Or ask fewer rows.",
                cap=made.cap.amount,
                room=max(0, allowed - used),
            )
