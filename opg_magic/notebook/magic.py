"""``%%opg`` and ``%opg``: read the line, call the session, hand the result to the display.  Thin,
and light to load."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Any as AnyTrait
from traitlets import TraitError, observe, validate

from opg_magic.cells import magic_line
from opg_magic.cells.magic_line import Line, LineError
from opg_magic.display import output
from opg_magic.errors import (
    AnswerWithheld,
    CallFailed,
    CallInterrupted,
    ConfigError,
    HostReportsFailure,
    HostsDisagree,
    OpgError,
)
from opg_magic.notebook import completion, raw_cell

if TYPE_CHECKING:
    from opg_magic.call.agreement import Agreement
    from opg_magic.call.session import Session
    from opg_magic.display.card import Card
    from opg_magic.models import Answer, Progress, Prompt, Quote
    from opg_magic.notebook.live import LiveDisplay

#: What ``%opg receipts`` can be narrowed by.
FILTERS = ("since", "until", "notebook", "model", "verdict", "network", "host", "kernel")

_TRAITS = (
    "model",
    "network",
    "policy",
    "timeout",
    "max_cost_per_call",
    "max_cost_per_kernel",
    "max_cost_per_day",
    "skew",
)


def _setting(help: str) -> Any:
    return AnyTrait(None, allow_none=True, help=help + " (None: as %opg config shows)").tag(
        config=True
    )


@magics_class
class OpgMagics(Magics):  # type: ignore[misc]
    """Verified AI calls.  Each trait is a setting of this kernel; ``%opg config`` shows where each
    comes from."""

    model = _setting("Model asked for when a cell names none")
    network = _setting("Network that answers: sim or opengradient")
    policy = _setting("Which claims must pass: default, strict or audit")
    timeout = _setting("Seconds until a call is given up")
    max_cost_per_call = _setting("OPG that one call may put at risk")
    max_cost_per_kernel = _setting("OPG that one kernel may put at risk")
    max_cost_per_day = _setting("OPG that all kernels may put at risk in a UTC day")
    skew = _setting("Seconds that a host's clock may be off")

    def __init__(self, shell: Any = None, **kwargs: Any) -> None:
        self._unsaid: dict[str, Any] = {}
        super().__init__(shell=shell, **kwargs)

    # ------------------------------------------------------------------------------------- settings

    @validate(*_TRAITS)  # type: ignore[untyped-decorator]
    def _valid(self, proposal: Any) -> Any:
        from opg_magic.settings import config

        if proposal["value"] is None:
            return None
        try:
            config.option(proposal["trait"].name).convert(proposal["value"])
        except ValueError as problem:
            raise TraitError(
                f"{proposal['trait'].name} must be {problem}, not {proposal['value']!r}"
            ) from None
        except ConfigError as problem:
            raise TraitError(problem.message) from None
        return proposal["value"]

    @observe(*_TRAITS)  # type: ignore[untyped-decorator]
    def _said(self, change: Any) -> None:
        # Told to the session when it is next used: loading the extension, or %config, makes none.
        self._unsaid[change["name"]] = change["new"]

    def _session(self) -> Session:
        from opg_magic.call.session import current_session

        session = current_session()
        while self._unsaid:
            key, value = self._unsaid.popitem()
            if value is None:
                session.settings.unset(key)
            else:
                session.settings.set(key, value)
        return session

    # ----------------------------------------------------------------------------------- the magics

    @no_var_expand  # type: ignore[untyped-decorator]
    @line_cell_magic  # type: ignore[untyped-decorator]
    def opg(self, line: str, cell: str | None = None) -> Any:
        # The docstring is set below, from the tables.
        try:
            if cell is None:
                return self._command(line)
            self._ask(magic_line.parse(line, self.shell.user_ns), line, cell)
        except LineError as problem:
            raise UsageError(f"{problem}\nHelp: %opg help") from None
        return None

    def _command(self, line: str) -> Any:
        name, *words = magic_line.split(line) or ["status"]
        if name in ("--help", "-h"):
            name = "help"
        command = COMMANDS.get(name)
        if command is None:
            raise LineError(f"%opg has no command {name}" + magic_line.did_you_mean(name, COMMANDS))
        if "--help" in words:
            print(f"%opg {command.usage}\n    {command.help}")
            return None
        return command.run(self, [magic_line.looked_up(word, self.shell.user_ns) for word in words])

    # ------------------------------------------------------------------------------------------ ask

    def _ask(self, line: Line, text: str, cell: str) -> None:
        if line.get("help"):
            print(magic_line.help_text())
            return
        body, source = raw_cell.body_and_source(self.shell, text, cell)
        template = magic_line.prompt_text(body)
        session = self._session()
        prompt = self._prompt(session, line, template, source)
        options = _options(line)
        several = line.get("hosts")
        if several is None and line.get("quorum") is not None:
            raise LineError("--quorum says how many of --hosts must agree: give both")
        if line.get("dry_run"):
            from opg_magic.display import bundle, card

            quote = session.quote(prompt, options)
            if several is not None:
                quote = _for_all(quote, several)
            simulated = _is_simulated(session, line)
            self._display(bundle.settled_bundle(card.of_quote(quote, simulated=simulated)))
            return
        if several is None:
            answer: Answer | Agreement = self._run(session, line, prompt, options)
        else:
            answer = self._run_several(session, line, prompt, options, several)
        if line.name is not None:
            self.shell.push({line.name: answer})
        self._result(answer)

    def _prompt(self, session: Session, line: Line, template: str, source: str) -> Prompt:
        from opg_magic.models import Prompt

        filled = template
        used: tuple[str, ...] = ()
        if line.get("vars"):
            filled, used = magic_line.fill(template, self.shell.user_ns)
        return Prompt(
            text=filled,
            model=line.get("model") or session.settings.get("model"),
            system=line.get("system"),
            temperature=line.get("temperature"),
            max_tokens=line.get("max_tokens"),
            stop=line.get("stop", ()),
            stream=not line.get("no_stream", False),
            settle=line.get("settle", "private"),
            template=template if line.get("vars") else None,
            variables=used,
            source=source,
        )

    def _run(self, session: Session, line: Line, prompt: Prompt, options: Any) -> Answer:
        """The call, with its display.  Whatever ends it, the display says how."""
        live = self._started(session, line, prompt)
        try:
            answer = session.ask(prompt, options, live.update if live is not None else _nobody)
        except BaseException as problem:
            self._say_how_it_ended(problem, live, prompt)
            raise
        self._settle(answer, live)
        return answer

    def _run_several(
        self, session: Session, line: Line, prompt: Prompt, options: Any, hosts: int
    ) -> Agreement:
        """Several hosts at once: the answer of the quorum first, then every other answer with a
        card of its own."""
        live = self._started(session, line, prompt)
        watch = live.update if live is not None else _nobody
        try:
            agreed = session.agree(
                prompt, options, hosts=hosts, quorum=line.get("quorum"), observer=watch
            )
        except HostsDisagree as problem:
            self._say_how_it_ended(problem, live, prompt)
            self._show_others(problem.answers, problem.failures, prompt, show_text=live is not None)
            raise
        except BaseException as problem:
            self._say_how_it_ended(problem, live, prompt)
            raise
        self._settle(agreed.answer, live)
        others = tuple(a for a in agreed.answers if a.receipt.id != agreed.receipt.id)
        self._show_others(others, agreed.failures, prompt, show_text=live is not None)
        return agreed

    def _show_others(
        self,
        answers: tuple[Answer, ...],
        failures: tuple[OpgError, ...],
        prompt: Prompt,
        *,
        show_text: bool,
    ) -> None:
        for answer in answers:
            self._settle(answer, None, show_text=show_text)
        for failure in failures:
            self._say_how_it_ended(failure, None, prompt)

    def _started(self, session: Session, line: Line, prompt: Prompt) -> LiveDisplay | None:
        """The running display, or None with --quiet."""
        from opg_magic.verify.policy import combine, policy

        if line.get("quiet"):
            return None
        required = combine(
            policy(session.settings.get("policy")), policy(line.get("policy") or "default")
        )
        live = self._live(
            prompt,
            simulated=_is_simulated(session, line),
            show_text=not required.withhold_missing,
        )
        live.start()
        return live

    def _settle(
        self, answer: Answer, live: LiveDisplay | None, *, show_text: bool | None = None
    ) -> None:
        from opg_magic.display import bundle

        try:
            settled = bundle.answer_bundle(
                answer, show_text=live is not None if show_text is None else show_text
            )
            if live is None:
                self._display(settled)
            else:
                live.settle(settled)
        except Exception as problem:
            # It is paid for: a display that fails must not keep it from its variable.
            print(
                f"The answer cannot be displayed ({type(problem).__name__}). It is kept: %opg show "
                f"{answer.receipt.id}"
            )

    def _live(self, prompt: Prompt, *, simulated: bool, show_text: bool) -> LiveDisplay:
        from opg_magic.notebook.live import LiveDisplay, ipython_publisher

        return LiveDisplay(
            ipython_publisher(self.shell),
            model=prompt.model,
            simulated=simulated,
            show_text=show_text,
            first_and_last=type(self.shell).__name__ == "TerminalInteractiveShell",
        )

    def _say_how_it_ended(
        self, problem: BaseException, live: LiveDisplay | None, prompt: Prompt
    ) -> None:
        from opg_magic.display import bundle

        receipt = getattr(problem, "receipt", None)
        # The traceback below says what happened; the card is the receipt's own where there is one.
        streamed = live is not None and live.text_was_shown
        settled = (
            bundle.settled_bundle(_card_of(problem, streamed=streamed))
            if receipt is None
            else bundle.receipt_bundle(receipt, streamed=streamed)
        )
        if live is not None:
            live.settle(settled)
        elif receipt is not None:
            self._display(settled)

    def _display(self, bundle: dict[str, Any]) -> None:
        self.shell.display_pub.publish(data=bundle, metadata={})

    def _result(self, value: Any) -> None:
        """``_`` and ``Out``, without a second display."""
        hook = self.shell.displayhook
        hook.update_user_ns(value)
        hook.fill_exec_result(value)

    # ------------------------------------------------------------------------------------- commands
    # "do_": some of the names alone, such as config, are traits of every Configurable.

    def do_status(self, words: list[str]) -> Any:
        _none(words, "status")
        return _table(
            [(key, str(value)) for key, value in self._session().status().items()], ("", "status")
        )

    def do_use(self, words: list[str]) -> None:
        if len(words) != 1:
            raise LineError("%opg use takes one network: sim or opengradient")
        if words[0] not in completion.networks():
            raise LineError(
                f"no network {words[0]}"
                + (
                    magic_line.did_you_mean(words[0], dict.fromkeys(completion.networks()))
                    or "; use sim or opengradient"
                )
            )
        network = self._session().use(words[0])
        real = (
            "simulated: no hardware vouches for it, no real money"
            if network.simulated
            else "real: calls cost OPG"
        )
        print(f"{network.title} is in use in this kernel ({real}).")

    def do_config(self, words: list[str]) -> Any:
        session = self._session()
        if not words:
            for note in session.settings.ignored():
                print(note)
            return _table(list(session.settings.rows()), ("setting", "value", "from", "meaning"))
        from opg_magic.settings import config

        key = config.option(words[0]).key
        if len(words) == 2:
            if key in _TRAITS:
                # One way in: the trait shows what was said last, whichever magic said it.
                try:
                    setattr(self, key, words[1])
                except TraitError as problem:
                    raise ConfigError(str(problem)) from None
                self._unsaid[key] = words[1]
                session = self._session()
            else:
                session.settings.set(key, words[1])
        elif len(words) > 2:
            raise LineError(f"%opg config {key} takes one value: quote it if it has spaces")
        shown = session.settings.shown(key, session.settings.get(key))
        print(f"{key} = {shown}   (from: {session.settings.origin(key)})")
        if len(words) == 2 and config.option(key).convert(words[1]) != session.settings.get(key):
            print(
                f"{words[1]} would loosen your own setting, so it is not in force. In a shell: opg "
                f"config {key} VALUE"
            )
        return None

    def do_hosts(self, words: list[str]) -> Any:
        _none(words, "hosts")
        from opg_magic.display.words import one_line

        rows = [
            (
                row.name or "",
                row.host.tee_id,
                "active" if row.active else "not active",
                row.attestation,
                one_line(row.reason or "", 160),
                one_line(row.set_aside or "", 160),
                one_line(row.host.endpoint, 160),
            )
            for row in self._session().hosts()
        ]
        return _table(
            rows, ("name", "tee_id", "registry", "attestation", "reason", "set aside", "endpoint")
        )

    def do_models(self, words: list[str]) -> Any:
        _none(words, "models")
        rows = [
            (
                m.name,
                *(
                    (float(m.price.input_usd), float(m.price.output_usd), m.price.as_of)
                    if m.price
                    else (None, None, "price unknown")
                ),
            )
            for m in self._session().models()
        ]
        return _table(rows, ("model", "in_usd_per_million", "out_usd_per_million", "price_as_of"))

    def do_receipts(self, words: list[str]) -> Any:
        return self._session().receipts(**_filters(words))

    def do_show(self, words: list[str]) -> None:
        unverified = "--unverified" in words
        rest = [w for w in words if w != "--unverified"]
        for word in rest:
            if word.startswith("-"):
                raise LineError(
                    f"unknown option {word}" + magic_line.did_you_mean(word, {"--unverified": None})
                )
        if len(rest) > 1:
            raise LineError("%opg show takes one receipt's id, or last")
        self._show(rest[0] if rest else "last", unverified=unverified)

    def _show(self, which: str, *, unverified: bool) -> None:
        from opg_magic.display import bundle, card
        from opg_magic.errors import LedgerError

        ledger = self._session().ledger
        receipt = ledger.last() if which == "last" else ledger.get(which)
        if receipt is None:
            raise LedgerError(
                "The ledger holds no receipt yet.", hint="Run a cell that starts with %%opg."
            )
        verdict = receipt.verdict_at_creation
        if verdict is not None and (unverified or not verdict.withheld):
            from opg_magic.call.reconciling import shown_again

            try:
                session = self._session()
                roots = session.simulated_roots()
                answer = shown_again(
                    receipt, session.settings, simulated_roots=roots, include_withheld=unverified
                )
            except CallFailed as problem:
                # Withheld by now, or no answer came: the card says which.
                self._display(
                    bundle.settled_bundle(card.of_kept(receipt, problem.verdict), receipt=receipt)
                )
                return
            self._display(bundle.answer_bundle(answer))
            self._result(answer)
            return
        # Withheld, and not asked for: the card, which says how to ask.
        self._display(bundle.receipt_bundle(receipt))

    def do_cost(self, words: list[str]) -> Any:
        _none(words, "cost")
        session = self._session()
        session.reconcile()
        spent = session.spending()
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
        return _table(rows, ("over", "settled, or claimed by hosts", "reserved", "limit"))

    def do_reconcile(self, words: list[str]) -> None:
        from opg_magic.display.words import plural

        _none(words, "reconcile")
        session = self._session()
        known = session.reconcile()
        spent = session.spending()
        print(f"{plural(known, 'authorisation')} settled or expired.", end=" ")
        print(f"Reserved now: {spent.kernel_reserved} by this kernel, {spent.day_reserved} today.")

    def do_settle(self, words: list[str]) -> Any:
        for word in words:
            if word != "--watch":
                raise LineError(f"%opg settle takes --watch alone, not {word}")
        found = self._session().settle(watch="--watch" in words)
        rows = [(outcome.receipt_id, outcome.status, outcome.detail) for outcome in found]
        return _table(rows, ("receipt", "settlement", "detail"))

    def do_pin(self, words: list[str]) -> Any:
        remove = "--remove" in words
        hashes = [word for word in words if word != "--remove"]
        session = self._session()
        if hashes:
            for said in session.pin(hashes, remove=remove):
                print(said)
            return None
        rows = [
            (row.pcr_hash, row.version or "", row.approved, row.pinned) for row in session.builds()
        ]
        return _table(rows, ("pcr_hash", "registry's version", "approved", "pinned by you"))

    def do_wallet(self, words: list[str]) -> Any:
        _none(words, "wallet")
        return _table(
            [(key, _plain(value)) for key, value in self._session().wallet_info().items()],
            ("", "wallet"),
        )

    def do_simnet(self, words: list[str]) -> None:
        from opg_magic.models.plain_text import inert

        print(inert(self._session().simnet(words or ["status"])).rstrip())

    def do_dashboard(self, words: list[str]) -> Any:
        _none(words, "dashboard")
        from opg_magic.notebook.dashboard import dashboard

        return dashboard(self._session())

    def do_help(self, words: list[str]) -> None:
        print(_help())


@dataclass(frozen=True, slots=True)
class Command:
    """One ``%opg`` command."""

    usage: str
    help: str
    run: Callable[[OpgMagics, list[str]], Any]


COMMANDS: dict[str, Command] = {
    "status": Command("status", "what is in force in this kernel", OpgMagics.do_status),
    "use": Command("use sim|opengradient", "choose the network of this kernel", OpgMagics.do_use),
    "config": Command(
        "config [KEY [VALUE]]",
        "settings and where each comes from; set one for this kernel",
        OpgMagics.do_config,
    ),
    "hosts": Command(
        "hosts", "hosts, checked now: registry, certificate, attestation", OpgMagics.do_hosts
    ),
    "models": Command("models", "model names and prices as last listed", OpgMagics.do_models),
    "receipts": Command(
        "receipts [FILTER=VALUE]…",
        "the ledger as a DataFrame, one row a call",
        OpgMagics.do_receipts,
    ),
    "show": Command(
        "show ID|last [--unverified]", "an answer out of the ledger, unpaid", OpgMagics.do_show
    ),
    "cost": Command("cost", "spending against each limit", OpgMagics.do_cost),
    "reconcile": Command(
        "reconcile", "ask the chain what open payments came to", OpgMagics.do_reconcile
    ),
    "settle": Command(
        "settle [--watch]", "look for batches that hold your calls' hashes", OpgMagics.do_settle
    ),
    "pin": Command(
        "pin [HASH…] [--remove]", "host builds; trust one by your own review", OpgMagics.do_pin
    ),
    "wallet": Command("wallet", "address, balance, allowance; never the key", OpgMagics.do_wallet),
    "simnet": Command(
        "simnet [status|up|down|cheat HOST MODE]", "the simulated network", OpgMagics.do_simnet
    ),
    "dashboard": Command("dashboard", "hosts, spending and receipts, live", OpgMagics.do_dashboard),
    "help": Command("help", "this", OpgMagics.do_help),
}


def _help() -> str:
    width = max(len(c.usage) for c in COMMANDS.values()) + 2
    lines = [f"  %opg {c.usage:<{width}} {c.help}" for c in COMMANDS.values()]
    return "\n".join([magic_line.help_text().rpartition("\n\n")[0], "", "Commands", "", *lines])


OpgMagics.opg.__doc__ = _help()


# ------------------------------------------------------------------------------------------ helpers


def _nobody(_progress: Progress) -> None:
    """--quiet: nobody watches."""


def _for_all(quote: Quote, hosts: int) -> Quote:
    """One host's quote for ``hosts`` of them, who have one price list; each has a cap of its
    own."""
    from dataclasses import replace

    from opg_magic.models import Money

    estimate = quote.estimate and Money(quote.estimate.amount * hosts, quote.estimate.token)
    said = f"Sums are for {hosts} hosts together, each of which asks for an authorisation of {quote.cap}."
    return replace(
        quote,
        cap=Money(quote.cap.amount * hosts, quote.cap.token),
        estimate=estimate,
        reuses_session=False,
        notes=(*quote.notes, said),
    )


def _network(session: Session, line: Line) -> str:
    return str(line.get("network") or session.settings.get("network"))


def _is_simulated(session: Session, line: Line) -> bool:
    from opg_magic.models.networks import SIM

    return _network(session, line) == SIM


def _options(line: Line) -> Any:
    from opg_magic.call.state import CallOptions

    return CallOptions(
        **{key: line.get(key) for key in ("host", "network", "max_cost", "policy", "timeout")}
    )


def _card_of(problem: BaseException, *, streamed: bool) -> Card:
    from opg_magic.display import card

    receipt = getattr(problem, "receipt", None)
    charge = getattr(problem, "charge", None)
    if isinstance(problem, CallFailed) and receipt is not None:
        cost = problem.cost or receipt.cost
        if isinstance(problem, AnswerWithheld) and problem.verdict is not None:
            return card.settled(problem.verdict, receipt, cost, streamed=streamed)
        headline = (
            "The host reports a failure" if isinstance(problem, HostReportsFailure) else "No answer"
        )
        return card.of_failure(
            receipt,
            cost,
            headline=headline,
            reason=problem.message,
            verdict=problem.verdict,
            streamed=streamed,
        )
    if isinstance(problem, CallInterrupted) and receipt is not None:
        return card.of_failure(receipt, receipt.cost, headline="Stopped by you", streamed=streamed)
    if isinstance(problem, KeyboardInterrupt):
        return card.ended("Stopped by you", charge=charge, streamed=streamed)
    if isinstance(problem, OpgError):
        return card.ended(
            "No answer",
            reason=problem.message,
            charge=charge,
            receipt_id=problem.receipt_id,
            streamed=streamed,
        )
    # Not expected: the traceback below the card tells, and only the ledger knows about the money.
    return card.ended(
        "No answer",
        reason=type(problem).__name__,
        known=False,
        streamed=streamed,
        hint="What was recorded: %opg receipts",
    )


def _plain(value: Any) -> str:
    """A sum or a word for a table; an ERC-20 allowance of practically everything by its name."""
    return "unlimited" if getattr(value, "amount", 0) >= 2**128 else str(value)


def _none(words: list[str], command: str) -> None:
    if words:
        raise LineError(f"%opg {command} takes nothing more, not {words[0]}")


def _filters(words: list[str]) -> dict[str, str]:
    filters = {}
    for word in words:
        key, has_value, value = word.removeprefix("--").partition("=")
        if not has_value:
            raise LineError(f"%opg receipts takes FILTER=VALUE, not {word!r}")
        if key not in FILTERS:
            raise LineError(
                f"%opg receipts has no filter {key}"
                + magic_line.did_you_mean(key, dict.fromkeys(FILTERS))
            )
        filters[key] = value
    return filters


def _table(rows: list[tuple[Any, ...]], columns: tuple[str, ...]) -> Any:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(columns))
    return frame.set_index(columns[0])


# ---------------------------------------------------------------------------------- load and unload


def _whole_cell(lines: list[str]) -> list[str]:
    """A lone ``%%opg …`` line gets an empty body, so that --help and an empty cell reach the magic
    itself."""
    if len(lines) == 1 and lines[0].split()[:1] == ["%%opg"]:
        return [lines[0] if lines[0].endswith("\n") else lines[0] + "\n", "\n"]
    return lines


# Not used to judge whether a cell is complete: in a terminal that would end the cell before its
# prompt is typed.
_whole_cell.has_side_effects = True  # type: ignore[attr-defined]

_FORMATTED = (("opg_magic.models.answers", "Answer"),)


def _format_answer(answer: Answer, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    from opg_magic.display.bundle import answer_bundle

    return answer_bundle(answer)


def load(shell: Any) -> None:
    """Register the magics, completion, and how an Answer shows itself.  Imports nothing heavy."""
    unload(shell, end_session=False)
    # A terminal of another encoding: an answer that is paid for must not end in an error of its
    # display.
    output.never_fails(
        *(
            stream
            for stream in (sys.stdout, sys.stderr)
            if not output.holds("\N{CHECK MARK}…", stream)
        )
    )
    magics = OpgMagics(shell)
    shell.register_magics(magics)
    shell.input_transformers_cleanup.append(_whole_cell)
    if shell.Completer is not None:
        matcher = completion.matcher(COMMANDS)
        shell.Completer.custom_matchers.append(matcher)
    for module, name in _FORMATTED:
        shell.display_formatter.mimebundle_formatter.for_type_by_name(module, name, _format_answer)


def unload(shell: Any, *, end_session: bool = True) -> None:
    """Take away what :func:`load` brought, and end the session."""
    magics = shell.magics_manager.registry.pop(OpgMagics.__name__, None)
    if magics is not None:
        for kind in ("line", "cell"):
            shell.magics_manager.magics[kind].pop("opg", None)
        shell.configurables[:] = [c for c in shell.configurables if c is not magics]
    while _whole_cell in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.remove(_whole_cell)
    if shell.Completer is not None:
        matchers = shell.Completer.custom_matchers
        matchers[:] = [
            m for m in matchers if getattr(m, "matcher_identifier", None) != completion.IDENTIFIER
        ]
    if magics is not None and end_session:
        session = sys.modules.get("opg_magic.call.session")
        if session is not None:
            session.close_current_session()
