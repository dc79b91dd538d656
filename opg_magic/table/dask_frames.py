"""A table of Dask's: planned over all of its parts before anything is signed, and asked as Dask
computes it, on whichever scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from opg_magic.errors import ArgumentError
from opg_magic.network.background import GRACE_SECONDS
from opg_magic.table.desk import Desk
from opg_magic.table.door import Door
from opg_magic.table.frames import frame_of, named
from opg_magic.table.mapping import Job
from opg_magic.table.parts import PLACE_BYTES, Survey, ask_alone, ask_part, extended, survey
from opg_magic.table.plan import Plan, plan
from opg_magic.table.question import Question
from opg_magic.table.shown import Shown
from opg_magic.table.tally import Tally

if TYPE_CHECKING:
    from opg_magic.call.session import Session

#: Makes what shows a running table.
Show = Callable[[], Shown]


def lazily(job: Job, session: Session, *, dry_run: bool, shown: Show | None = None) -> Any:
    """Return what asking a table of Dask's would come to, for ``dry_run``; else the table with its
    new columns: whatever computes it asks and pays, and ``shown`` shows it.  Its parts are computed
    once for the plan; nothing is signed, and no prompt is sent.

    Raises ArgumentError, which names partition, row and column, and LimitExceeded."""
    planned = _planned(_Lazy(job), job, session)
    return planned.plan if dry_run else planned.frame(planned.desk(shown))


async def alazily(job: Job, session: Session, *, dry_run: bool) -> Any:
    """Do what :func:`lazily` does, awaited; with an asynchronous Client too."""
    lazy = await asyncio.to_thread(_Lazy, job)
    client = _client()
    if client is not None and client.asynchronous:
        surveys = await client.gather(client.compute(lazy.surveys()))
    else:
        surveys = None
    planned = await asyncio.to_thread(_planned, lazy, job, session, surveys)
    return planned.plan if dry_run else planned.frame(planned.desk(None))


def ask_dask(job: Job, session: Session, shown: Show, *, live: bool) -> tuple[Any, Tally]:
    """Ask a table of Dask's now, and return it lazily, with how it ended.  Its answers are in the
    ledger: computed, it costs nothing.  An interrupt keeps what came.

    Raises what :func:`lazily` raises, before anything is signed, and what Dask raises."""
    import dask

    planned = _planned(_Lazy(job), job, session)
    desk = planned.desk(shown, live=live, once=True)
    tally = desk.watch.tally
    try:
        dask.compute(*planned.lazy.asked(Door.to(desk)))
    except KeyboardInterrupt:
        desk.watch.ended("stopped")
    finally:
        desk.close()
        if not desk.ended(GRACE_SECONDS):
            desk.stop()
            desk.ended(GRACE_SECONDS)
        desk.watch.end()
    return planned.frame(desk), tally


class _Lazy:
    """A job's frame, what its rows ask, and the form of the result (``meta``)."""

    def __init__(self, job: Job) -> None:
        self.frame = named(job.data) if type(job.data).__name__ == "Series" else job.data
        form = frame_of(self.frame._meta, empty=True)
        self.question = job.question(form)
        for name in self.question.template.columns:
            form.column(name)
        empty: list[list[Any]] = [[] for _ in job.added]
        self.meta = extended(form, self.question, empty)

    def surveys(self) -> list[Any]:
        """What each part comes to, to be computed by Dask."""
        return self._of_each(partial(survey, question=self.question))

    def asked(self, door: Door) -> list[Any]:
        """The asking of each part alone, to be computed by Dask."""
        return self._of_each(partial(_ask_alone, question=self.question, door=door))

    def extended(self, door: Door) -> Any:
        """The table with its new columns."""
        columns = tuple(map(str, self.frame.columns))
        work = partial(ask_part, question=self.question, columns=columns)
        if self.question.dedupe:
            return self.frame.map_partitions(_ask, work, door, meta=self.meta)
        import dask.dataframe as dd

        parts = self._of_each(partial(_ask, work=work, door=door))
        known = len(parts) == self.frame.npartitions
        divisions = self.frame.divisions if known else (None,) * (len(parts) + 1)
        return dd.from_delayed(parts, meta=self.meta, divisions=divisions, verify_meta=False)

    def _of_each(self, work: Callable[..., Any]) -> list[Any]:
        import dask

        made = dask.delayed(work, pure=False)
        return [made(part, number=number) for number, part in enumerate(self._parts)]

    @cached_property
    def _parts(self) -> list[Any]:
        """The parts, of the columns alone that are asked.  Where a part's number counts, they are
        made once, and whole: Dask may join the parts of some columns, and leave others as they
        are."""
        frame = self.frame
        if self.question.dedupe:
            columns = self.question.template.columns
            frame = frame[[name for name in frame.columns if str(name) in columns]]
        parts: list[Any] = frame.to_delayed()
        return parts


def _ask(part: Any, work: Callable[..., Any], door: Door, number: int = 0) -> Any:
    return work(part, number, ask=door.ask)


def _ask_alone(part: Any, number: int, question: Question, door: Door) -> None:
    ask_alone(part, number, question, door.ask)


class _Planned:
    """A plan, the key and place of each prompt of the table, and which of the keys the ledger
    answers."""

    def __init__(
        self, lazy: _Lazy, job: Job, session: Session, made: Plan, keys: Sequence[bytes], known: Any
    ) -> None:
        self.lazy, self.plan = lazy, made
        self._job, self._session, self._keys, self._known = job, session, keys, known

    def desk(self, shown: Show | None, *, live: bool = True, once: bool = False) -> Desk:
        """Return who answers for the table."""
        return Desk(
            self._job,
            self._session,
            self.plan,
            self.lazy.question,
            self._keys,
            self._known,
            shown,
            live=live,
            once=once,
        )

    def frame(self, desk: Desk) -> Any:
        """Return the table with its new columns."""
        return self.lazy.extended(Door.to(desk))


def _client() -> Any:
    """The distributed Client that Dask would compute with, if any."""
    import sys

    if "distributed" not in sys.modules:
        return None
    from distributed import Client

    try:
        return Client.current()
    except ValueError:
        return None


def _computed(delayed: Sequence[Any]) -> Sequence[Survey]:
    import dask

    client = _client()
    if client is not None and client.asynchronous:
        raise ArgumentError(
            "map() waits for its plan, which an asynchronous Client cannot. Nothing was sent.",
            hint="With it, use: await opg_magic.amap(...). Then: await client.compute(...)",
        )
    found: Sequence[Survey] = dask.compute(*delayed)
    return found


def _planned(
    lazy: _Lazy, job: Job, session: Session, surveys: Sequence[Survey] | None = None
) -> _Planned:
    surveys = _computed(lazy.surveys()) if surveys is None else surveys
    _refuse(surveys)
    rows = sum(one.rows for one in surveys)
    if not rows:
        raise ArgumentError("The table has no rows. Nothing was sent.")
    prompts: dict[bytes, int] = {}
    for one in surveys:
        prompts.update(one.prompts)
    known = set[bytes]()
    if not job.fresh:
        keys = list(prompts if job.dedupe else dict.fromkeys(map(_of_prompt, prompts)))
        answers = lazy.question.recorded(keys, session, job.options)
        known = {key for key, answer in zip(keys, answers, strict=True) if answer is not None}
    left = [
        tokens
        for key, tokens in prompts.items()
        if (key if job.dedupe else _of_prompt(key)) not in known
    ]
    text = next((one.first for one in surveys if one.first is not None), None)
    first = None if text is None or not left else lazy.question.prompt(text)
    engine = session.engine(job.options)
    made = session.within_limits(
        lambda: session.run(
            plan(
                engine,
                first,
                session.by_id(job.options),
                session.engine_settings(engine.network),
                ask=len(left),
                tokens=sum(left),
                rows=rows,
                missing=sum(one.missing for one in surveys),
                distinct=len(prompts),
                hosts=job.hosts,
                max_cost=job.max_cost,
                kernel=session.kernel_id,
            )
        )
    )
    return _Planned(lazy, job, session, made, list(prompts), known)


def _of_prompt(key: bytes) -> bytes:
    """The key of a prompt without its place."""
    return key[:-PLACE_BYTES]


def _refuse(surveys: Sequence[Survey]) -> None:
    """Raise ArgumentError for the first part that cannot be asked, or that holds another kind of
    values than those before it."""
    first: dict[str, tuple[str, str, int]] = {}
    for number, one in enumerate(surveys):
        if one.refused is not None:
            message, hint = one.refused
            raise ArgumentError(f"Partition {number}: {message}", hint=hint)
        for column, (kind, label) in one.kinds.items():
            was, where, there = first.setdefault(column, (kind, label, number))
            if kind != was:
                raise ArgumentError(
                    f"Partition {number}: Row {label}, column {column!r} holds a {kind}, and row "
                    f"{where} of partition {there} a {was}. Nothing was sent.",
                    hint=f"Make the column one kind, as in: df[{column!r}].astype(str)",
                )
