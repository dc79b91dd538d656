"""One ``%%opg`` cell: read the prompt, make the call, show how it goes and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from opg_magic.cells import magic_line
from opg_magic.cells.magic_line import Line, LineError
from opg_magic.errors import (
    AnswerWithheld,
    CallFailed,
    CallInterrupted,
    HostReportsFailure,
    HostsDisagree,
    OpgError,
    ShapeMismatch,
)
from opg_magic.notebook import cell_tools, raw_cell
from opg_magic.notebook.commands.command import Kernel
from opg_magic.notebook.over import run_over
from opg_magic.shapes import fitted, rows_in

if TYPE_CHECKING:
    from opg_magic.call.agreement import Agreement
    from opg_magic.call.beside import PendingCall
    from opg_magic.call.session import Session
    from opg_magic.display.card import Card
    from opg_magic.models import Answer, Progress, Prompt, Quote
    from opg_magic.notebook.live import LiveDisplay
    from opg_magic.shapes import Shape


def run(kernel: Kernel, line: Line, text: str, cell: str) -> None:
    """Run the cell whose line is ``text``, parsed as ``line``, and whose body is ``cell``.

    Raises what the call raises, after the display has said how it ended."""
    if line.get("help"):
        print(magic_line.help_text())
        return
    body, source = raw_cell.body_and_source(kernel.shell, text, cell)
    template = magic_line.prompt_text(body)
    session = kernel.session()
    shape = _shape(kernel, line)
    if line.get("over") is not None:
        run_over(kernel, session, line, template, source, shape)
        return
    if line.get("output") is not None:
        raise LineError("--output needs --over")
    tools = cell_tools.of_line(kernel, line)
    prompt, announcement = _prompt(kernel, session, line, template, source, shape)
    prompt = cell_tools.with_tools(prompt, tools)
    hosts = line.get("hosts")
    if hosts is None and line.get("quorum") is not None:
        raise LineError("--quorum needs --hosts")
    if hosts is not None and line.get("chat") is not None:
        raise LineError("--chat goes with one host: leave out --hosts")
    if hosts is not None and line.get("bg"):
        raise LineError("--bg goes with one host: leave out --hosts")
    if line.get("dry_run"):
        _show_quote(kernel, session, line, prompt, announcement)
        return
    call = _CellCall(kernel, session, line, prompt, announcement, shape)

    def one_round(prompt: Prompt) -> Answer:
        answer: Answer = replace(call, prompt=prompt).whole(None)()
        return answer

    answer: Any
    if tools:
        answer = cell_tools.rounds(one_round, prompt, tools, line)()
    else:
        answer = call.beside() if line.get("bg") else call.whole(hosts)()
    if line.name is not None:
        kernel.shell.push({line.name: answer})
    kernel.result(answer)


def _shape(kernel: Kernel, line: Line) -> Shape | None:
    """What the answer shall be.  Raises ArgumentError; nothing was sent."""
    from opg_magic import shapes

    words, format = line.get("schema"), line.get("format")
    if words is None:
        return shapes.wanted(None, format)
    if words.endswith(","):
        raise LineError(f"--schema {words} ends with a comma; quote a schema that contains spaces")
    named = shapes.resolve_words(words, format=format, namespace=kernel.shell.user_ns)
    return shapes.wanted(named, format)


def _prompt(
    kernel: Kernel,
    session: Session,
    line: Line,
    template: str,
    source: str,
    shape: Shape | None,
) -> tuple[Prompt, str | None]:
    """The prompt, and what is to be said of it before it goes out."""
    from opg_magic.call.composing import composed
    from opg_magic.models import Prompt

    filled = template
    used: tuple[str, ...] = ()
    if line.get("vars"):
        filled, used = magic_line.fill(template, kernel.shell.user_ns)
    made = composed(
        filled,
        session.settings,
        model=line.get("model"),
        network=line.get("network"),
        template=line.get("template"),
        files=line.get("file", ()),
        typed=template if line.get("vars") else None,
    )
    prompt = Prompt(
        text=made.prompt.text,
        stream=not line.get("no_stream", False),
        template=made.prompt.template,
        variables=(*used, *made.prompt.names),
        source=source,
        extra=shape.asked() if shape is not None else {},
        **{**magic_line.of_part(line, "prompt"), "model": made.model},
    )
    if (chat := line.get("chat")) is not None:
        prompt = session.chats.continued(prompt, chat, line.get("network"))
    return prompt, made.announcement


def _show_quote(
    kernel: Kernel, session: Session, line: Line, prompt: Prompt, announcement: str | None
) -> None:
    """``--dry-run``: what the call would cost at most, and who would be asked."""
    from opg_magic.display import bundle, dry_run
    from opg_magic.models.plain_text import plural

    quote = session.quote(prompt, _options(line))
    hosts = line.get("hosts")
    if hosts is not None:
        quote = _for_all(quote, hosts)
    again = sum(one.messages for one in prompt.thread.earlier) if prompt.thread else 0
    if again:
        said = f"{plural(again, 'earlier message')} of chat {line.get('chat')} sent again."
        quote = replace(quote, notes=(said, *quote.notes))
    if announcement is not None:
        quote = replace(quote, notes=(announcement, *quote.notes))
    simulated = _is_simulated(session, line)
    kernel.display(bundle.settled_bundle(dry_run.of_quote(quote, simulated=simulated)))


@dataclass(frozen=True, slots=True)
class _CellCall:
    """A call with its display.  However it ends, the display says how."""

    kernel: Kernel
    session: Session
    line: Line
    prompt: Prompt
    announcement: str | None = None
    shape: Shape | None = None

    def whole(self, hosts: int | None) -> Callable[[], Any]:
        """The call, once its first display stands: what it does blocks, and returns the answer."""
        live = self._started()
        if hosts is None:
            return lambda: self.ask(live)
        return lambda: self.ask_several(hosts, live)

    def beside(self) -> PendingCall[Answer]:
        """The same of one host, on a thread of its own."""
        live = self._started()
        again = live.again if live is not None else lambda: None
        return self.session.beside(lambda: self.ask(live), again)

    def ask(self, live: LiveDisplay | None) -> Answer:
        watch = live.update if live is not None else _nobody_watches
        try:
            answer = fitted(self.session.ask(self.prompt, _options(self.line), watch), self.shape)
        except BaseException as problem:
            self._show_end(problem, live)
            raise
        self._show_answer(answer, live, show_text=not self.line.get("quiet"))
        return answer

    def ask_several(self, hosts: int, live: LiveDisplay | None) -> Agreement:
        """Several hosts at once: the answer once, under one headline; then a line for every other
        host, with its answer only where that is another."""
        shown = live is not None
        try:
            agreed = self.session.agree(
                self.prompt,
                _options(self.line),
                hosts=hosts,
                quorum=self.line.get("quorum"),
                observer=live.update if live is not None else _nobody_watches,
            )
        except HostsDisagree as problem:
            self._show_difference(problem, live)
            self._show_others(problem.answers, problem.failures, beside=None)
            raise
        except BaseException as problem:
            self._show_end(problem, live)
            raise
        misfit: ShapeMismatch | None = None
        try:
            agreed = replace(agreed, answer=fitted(agreed.answer, self.shape))
        except ShapeMismatch as problem:
            misfit = problem
        self._show_answer(agreed.answer, live, show_text=shown)
        others = tuple(a for a in agreed.answers if a.receipt.id != agreed.receipt.id)
        self._show_others(others, agreed.failures, beside=agreed.text if shown else None)
        if misfit is not None:
            raise misfit
        return agreed

    def _started(self) -> LiveDisplay | None:
        """The running display; None with --quiet, unless the cell ends before the call."""
        from opg_magic.notebook.live import LiveDisplay, ipython_publisher
        from opg_magic.verify.policy import combine, policy

        if self.line.get("quiet") and not self.line.get("bg"):
            return None
        settings, line = self.session.settings, self.line
        required = combine(policy(settings.get("policy")), policy(line.get("policy") or "default"))
        shell = self.kernel.shell
        live = LiveDisplay(
            ipython_publisher(shell, beside=bool(self.line.get("bg"))),
            model=self.prompt.model,
            announcement=self.announcement,
            simulated=_is_simulated(self.session, line),
            show_text=not required.withhold_missing and not self.line.get("quiet"),
            first_and_last=type(shell).__name__ == "TerminalInteractiveShell",
        )
        live.start()
        return live

    def _show_answer(self, answer: Answer, live: LiveDisplay | None, *, show_text: bool) -> None:
        from opg_magic.display import bundle

        try:
            formatted = self._formatted(answer) if show_text else None
            settled = bundle.answer_bundle(answer, show_text=show_text and formatted is None)
            first = settled if formatted is None else formatted
            if live is None:
                self.kernel.display(first)
            else:
                live.settle(first)
            if formatted is not None:
                self.kernel.display(settled)
        except Exception as problem:
            # It is paid for: a display that fails must not keep it from its variable.
            print(
                f"The answer cannot be displayed ({type(problem).__name__}). It is kept: %opg show "
                f"{answer.receipt.id}"
            )

    def _formatted(self, answer: Answer) -> dict[str, Any] | None:
        """What stands in place of the signed text, if the cell asks for that.  Beside the work
        there is one display for all: the card's."""
        from opg_magic.display import data

        if self.shape is None or self.line.get("bg"):
            return None
        if self.shape.format == "df" and answer.data is not None:
            found = rows_in(self.shape.response_format, answer.text)
            return None if found is None else data.table_bundle(*found)
        return data.text_bundle(answer) if self.shape.format == "text" else None

    def _show_others(
        self, answers: tuple[Answer, ...], failures: tuple[OpgError, ...], *, beside: str | None
    ) -> None:
        """``beside``: the text that stands there already; None shows none."""
        for answer in answers:
            differs = beside is not None and answer.text != beside
            self._show_answer(answer, None, show_text=differs)
        for failure in failures:
            self._show_end(failure, None)

    def _show_difference(self, problem: HostsDisagree, live: LiveDisplay | None) -> None:
        from opg_magic.display.several import comparison_bundle

        if live is None or not problem.answers:
            self._show_end(problem, live)
            return
        live.settle(comparison_bundle(problem.answers))

    def _show_end(self, problem: BaseException, live: LiveDisplay | None) -> None:
        """How a call ended that gave no answer."""
        from opg_magic.display import bundle

        if isinstance(problem, ShapeMismatch) and problem.answer is not None:
            # A good answer, and paid for: only its shape is not the one that was asked for.
            self._show_answer(problem.answer, live, show_text=not self.line.get("quiet"))
            return
        receipt = getattr(problem, "receipt", None)
        # The card is the receipt's own where there is one, and says why; else the error below does.
        streamed = live is not None and live.text_was_shown
        settled = (
            bundle.settled_bundle(_card_of(problem, streamed=streamed))
            if receipt is None
            else bundle.receipt_bundle(receipt, streamed=streamed)
        )
        if live is not None:
            live.settle(settled)
        elif receipt is not None:
            self.kernel.display(settled)
        if receipt is not None and isinstance(problem, OpgError):
            problem.shown = True  # the same sentence is not said again below its card


def _nobody_watches(_progress: Progress) -> None:
    """The observer of a call with --quiet."""


def _for_all(quote: Quote, hosts: int) -> Quote:
    """One host's quote for ``hosts`` of them, who have one price list; each has a cap of its
    own."""
    from opg_magic.models import Money

    estimate = quote.estimate and Money(quote.estimate.amount * hosts, quote.estimate.token)
    cap = quote.cap
    said = (
        f"Sums are for {hosts} hosts together."
        if cap is None
        else f"Sums are for {hosts} hosts together, each of which asks for an authorisation of "
        f"{cap}."
    )
    return replace(
        quote,
        cap=None if cap is None else Money(cap.amount * hosts, cap.token),
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

    return CallOptions(**magic_line.of_part(line, "call"), fresh=bool(line.get("fresh")))


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
