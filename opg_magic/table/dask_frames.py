"""A table of Dask's: planned over all of its parts before anything is signed, and asked as Dask
computes it, on whichever scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from opg_magic.errors import ArgumentError
from opg_magic.table.desk import Desk
from opg_magic.table.door import Door
from opg_magic.table.frames import frame_of, named
from opg_magic.table.mapping import Job
from opg_magic.table.parts import Survey, ask_part, extended, survey
from opg_magic.table.plan import Plan, plan
from opg_magic.table.question import Question

if TYPE_CHECKING:
    from opg_magic.call.session import Session


def lazily(job: Job, session: Session, *, dry_run: bool) -> Any:
    """Return what :func:`plan_dask` does for ``dry_run``, else what :func:`map_dask` does."""
    return plan_dask(job, session) if dry_run else map_dask(job, session)


def plan_dask(job: Job, session: Session) -> Plan:
    """Return what asking a table of Dask's would come to.  Its parts are computed once; nothing is
    signed, and no prompt is sent.

    Raises ArgumentError, which names partition, row and column, and LimitExceeded."""
    return _planned(_Lazy(job), job, session)[0]


def map_dask(job: Job, session: Session) -> Any:
    """Return the table with its new columns, lazily: whatever computes it asks and pays.

    Raises what :func:`plan_dask` raises, before anything is signed."""
    lazy = _Lazy(job)
    planned, keys = _planned(lazy, job, session)
    door = Door.to(Desk(job, session, planned, lazy.question, keys))
    return lazy.frame.map_partitions(_ask, lazy.question, door, meta=lazy.meta)


def _ask(part: Any, question: Question, door: Door) -> Any:
    return ask_part(part, question, door.ask)


class _Lazy:
    """A job's frame, what its rows ask, and the form of the result (``meta``)."""

    def __init__(self, job: Job) -> None:
        if not job.dedupe:
            raise ArgumentError(
                "A Dask table asks equal prompts once: dedupe=False does not go with it. "
                "Nothing was sent."
            )
        self.frame = named(job.data) if type(job.data).__name__ == "Series" else job.data
        form = frame_of(self.frame._meta, empty=True)
        self.question = job.question(form)
        for name in self.question.template.columns:
            form.column(name)
        empty: list[list[Any]] = [[] for _ in job.added]
        self.meta = extended(form, self.question, empty)

    def surveys(self) -> Sequence[Survey]:
        """What each part comes to: computed by Dask, from the columns alone that are asked."""
        import dask

        asked = [name for name in self.frame.columns if str(name) in self.question.template.columns]
        look = dask.delayed(partial(survey, question=self.question), pure=False)
        parts = self.frame[asked].to_delayed()
        _refuse_asynchronous()
        found: Sequence[Survey] = dask.compute(*(look(part) for part in parts))
        return found


def _refuse_asynchronous() -> None:
    import sys

    if "distributed" not in sys.modules:
        return
    from distributed import Client

    try:
        client = Client.current()
    except ValueError:
        return
    if client.asynchronous:
        raise ArgumentError(
            "map() waits for its plan, which an asynchronous Client cannot. Nothing was sent.",
            hint="Call it with a Client() that is not asynchronous.",
        )


def _planned(lazy: _Lazy, job: Job, session: Session) -> tuple[Plan, dict[bytes, int]]:
    """The plan, and the key of each prompt of the table."""
    surveys = lazy.surveys()
    _refuse(surveys)
    rows = sum(one.rows for one in surveys)
    if not rows:
        raise ArgumentError("The table has no rows. Nothing was sent.")
    prompts: dict[bytes, int] = {}
    for one in surveys:
        prompts.update(one.prompts)
    known = set[bytes]()
    if not job.fresh:
        answers = lazy.question.recorded(prompts, session, job.options)
        known = {key for key, answer in zip(prompts, answers, strict=True) if answer is not None}
    left = [tokens for key, tokens in prompts.items() if key not in known]
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
    return made, prompts


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
