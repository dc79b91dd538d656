"""A table from prompt to columns: checked, planned, asked, put back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from opg_magic import errors
from opg_magic.call.caps import Caps
from opg_magic.models import Prompt, arguments
from opg_magic.settings import prices
from opg_magic.table.frames import Frame, frame_of, refuse_taken
from opg_magic.table.plan import Plan, plan
from opg_magic.table.question import Question
from opg_magic.table.rows import (
    NOTHING,
    Outcome,
    columns_of,
    keys_of,
    raise_first_failure,
)
from opg_magic.table.running import Run, outcome_of
from opg_magic.table.tally import Tally
from opg_magic.table.template import template

if TYPE_CHECKING:
    from opg_magic.call.engine import Engine
    from opg_magic.call.session import Session
    from opg_magic.call.state import CallOptions, EngineSettings
    from opg_magic.shapes import Shape

#: Calls at once, and hosts that share a table, at most.
MOST_CALLS, MOST_HOSTS = 256, 16
#: Seconds between two reports of where the table stands.
_REPORT = 0.1

Observer = Callable[[Tally], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked of a table.  ``prompt`` is the prompt of every row but for its text.

    ``max_cost`` in base units for the whole; ``hosts`` share the rows, ``concurrency`` calls run at
    once; ``shape`` reads the answers; ``errors``: "column", or "raise" to end at the first row that
    failed."""

    data: Any
    text: str
    prompt: Prompt
    options: CallOptions
    shape: Shape | None = None
    output: str = "answer"
    overwrite: bool = False
    max_cost: int | None = None
    concurrency: int = 16
    hosts: int = 1
    errors: str = "column"
    dedupe: bool = True
    fresh: bool = False

    def __post_init__(self) -> None:
        """Raises ArgumentError."""
        arguments.name("output", self.output)
        arguments.whole("concurrency", self.concurrency, 1, MOST_CALLS)
        arguments.whole("hosts", self.hosts, 1, MOST_HOSTS)
        arguments.choice("errors", self.errors, ("column", "raise"))
        for name in ("dedupe", "fresh", "overwrite"):
            arguments.flag(name, getattr(self, name))

    @property
    def added(self) -> tuple[str, str, str, str]:
        """The names of the new columns: answer, error, verdict, receipt."""
        return (
            self.output,
            f"{self.output}_error",
            f"{self.output}_verdict",
            f"{self.output}_receipt",
        )

    def question(self, frame: Frame) -> Question:
        """Return what each row asks.  Raises ArgumentError for a column that is not there, and for
        a new one that is."""
        if not self.overwrite:
            refuse_taken(frame.columns, self.added)
        made = template(self.text, frame.columns)
        base = replace(self.prompt, template=made.text, variables=made.columns, stream=False)
        is_data, end = self.shape is not None, self.errors == "raise"
        return Question(made, base, self.added, is_data, end, self.dedupe)


class Table:
    """A :class:`Job` in one session.  Making it checks the whole table: nothing was sent if that
    raises ArgumentError."""

    def __init__(self, job: Job, session: Session) -> None:
        self._job, self._session = job, session
        self._frame: Frame = frame_of(job.data)
        self._question = job.question(self._frame)
        self._rows = self._question.rows(self._frame)
        self._keys = keys_of(self._rows, self._frame.labels, self._question.prompt)
        self._outcomes: list[Outcome | None] = [None] * len(self._rows.texts)
        self.planned: Plan | None = None
        #: Stopped, and not waited for: calls may be under way.
        self.cut_short = False
        self.tally: Tally | None = None

    def look_up(self) -> int:
        """Take what the ledger holds already; return how many prompts that answers."""
        if self._job.fresh:
            return 0
        found = 0
        answers = self._question.recorded(self._keys, self._session, self._job.options)
        for number, answer in enumerate(answers):
            if answer is not None:
                self._outcomes[number] = outcome_of(answer, self._job.shape, recorded=True)
                found += 1
        return found

    def _left(self) -> Iterator[tuple[int, str]]:
        for number, text in enumerate(self._rows.texts):
            if self._outcomes[number] is None:
                yield number, text

    async def plan(self, engine: Engine, settings: EngineSettings) -> Plan:
        """Return what the rest comes to.  Raises LimitExceeded where that may not be."""
        job = self._job
        left = [text for _, text in self._left()]
        self.planned = await plan(
            engine,
            self._question.prompt(left[0]) if left else None,
            self._session.by_id(job.options),
            settings,
            ask=len(left),
            tokens=sum(map(prices.estimate_tokens, left)),
            rows=len(self._rows),
            missing=len(self._rows.missing),
            distinct=len(self._rows.texts),
            hosts=job.hosts,
            max_cost=job.max_cost,
            kernel=self._session.kernel_id,
        )
        return self.planned

    async def ask(
        self, engine: Engine, settings: EngineSettings, report: Observer | None = None
    ) -> None:
        """Plan, then ask what the ledger does not hold.  A cancel stops it and keeps what came."""
        planned = await self.plan(engine, settings)
        unfit = sum(one is not None and not one.good for one in self._outcomes)
        tally = self.tally = Tally(
            planned.distinct,
            planned.token,
            recorded=planned.recorded - unfit,
            unfit=unfit,
            to_ask=planned.ask,
        )
        last = 0.0

        def done(number: int, outcome: Outcome) -> None:
            nonlocal last
            self._outcomes[number] = outcome
            now = time.monotonic()
            if report is not None and now - last > _REPORT:
                last = now
                report(tally)

        if planned.ask:
            run = Run(
                engine,
                self._session.by_id(self._job.options),
                settings,
                planned.hosts,
                concurrency=min(self._job.concurrency, planned.ask),
                tally=tally,
                make=self._question.prompt,
                shape=self._job.shape,
                done=done,
                end_at_failure=self._question.end_at_failure,
                caps=Caps(self._job.max_cost, planned=planned.authorisations),
            )
            await run.ask(self._left())
        if report is not None:
            report(tally)

    @property
    def failures(self) -> int:
        """Rows that ask something and have no answer."""
        found = (None if at == NOTHING else self._outcomes[at] for at in self._rows.asks)
        good = sum(one is not None and one.good for one in found)
        return len(self._rows) - self.silent - good

    @property
    def silent(self) -> int:
        """Rows that ask nothing: a cell is missing, or all are blank."""
        return len(self._rows.missing)

    def result(self) -> Any:
        """Return the table with its new columns.  Raises the first failure under
        ``errors="raise"``."""
        if self._question.end_at_failure:
            raise_first_failure(self._outcomes)
        ended = self.tally.ended if self.tally is not None else None
        columns = columns_of(
            self._rows,
            self._outcomes,
            is_data=self._question.is_data,
            unasked="stopped; if it was asked, its call is in the ledger"
            if self.cut_short
            else f"not asked: {ended or 'it was not run'}",
        )
        return self._frame.extended(self._question.columns(columns))

    def receipts(self) -> dict[str, Any] | None:
        """Return what the cell's output holds of the calls: a text and their receipts.  None
        without any."""
        from opg_magic.receipt.table import Counts
        from opg_magic.table.taken_along import taken_along

        if self.tally is None:
            return None
        ids = dict.fromkeys(one.receipt for one in self._outcomes if one and one.receipt)
        counts = Counts(len(self._rows), len(self._rows.texts), self.tally.figures)
        return taken_along(self._session.ledger, [*ids], counts)


def ask_made(table: Table, job: Job, session: Session, report: Observer | None = None) -> Any:
    """Ask a table and return it with its new columns.  Blocks; an interrupt keeps what came.

    Raises LimitExceeded and what :meth:`Engine.quote` raises, before anything is signed."""
    from opg_magic.network.background import Stopped

    session.counted(+1)
    try:
        engine = session.engine(job.options)
        table.look_up()
        loop = session.loop()
        try:
            session.within_limits(
                lambda: loop.run(
                    lambda emit: table.ask(
                        engine,
                        session.engine_settings(engine.network),
                        # Where nobody looks, the caller's thread sleeps until the end.
                        None if report is None else emit,
                    ),
                    report,
                )
            )
        except Stopped as stopped:
            if table.tally is None:
                raise KeyboardInterrupt from None
            table.tally.ended = table.tally.ended or "stopped"
            table.cut_short = not stopped.ended
            if stopped.outcome is not None and isinstance(stopped.outcome, errors.OpgError):
                raise stopped.outcome from None
        return table.result()
    finally:
        session.counted(-1)


async def aask_table(job: Job, session: Session) -> Any:
    """The same, awaited.  Cancelling it stops every call; what came is in the ledger."""
    import asyncio

    table = await asyncio.to_thread(Table, job, session)
    engine = await asyncio.to_thread(session.engine, job.options)
    await asyncio.to_thread(table.look_up)
    loop = await asyncio.to_thread(session.loop)
    session.counted(+1)
    try:
        await loop.submit(table.ask(engine, session.engine_settings(engine.network)))
    finally:
        session.counted(-1)
    return await asyncio.to_thread(table.result)


def plan_table(job: Job, session: Session) -> Plan:
    """Return what asking a table would come to.  Nothing is signed, and no prompt is sent."""
    table = Table(job, session)
    engine = session.engine(job.options)
    table.look_up()
    return session.run(table.plan(engine, session.engine_settings(engine.network)))
