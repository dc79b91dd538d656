"""The way from a part of a table to the desk that asks its prompts: a call where the part is worked
on in the desk's own process, else messages over Dask's own connections.

The client's process opens no port, and needs none to be reached.  What comes from a worker is plain
data and is never unpickled here; the desk asks planned prompts alone, whoever names them."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from opg_magic.errors import CallFailed, ConfigError
from opg_magic.table.desk import Desk
from opg_magic.table.rows import Outcome

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Prompts, and characters, of one message; and messages of a part that are under way at once.
_MOST, _LONGEST, _AHEAD = 256, 1_000_000, 2
#: Seconds between two signs of life of the desk, after which a worker gives it up, and after which
#: the desk gives up a cluster that takes none.
_SIGN, _SILENCE, _LOST = 1.0, 120.0, 10.0

#: The desks of this process, and the clients over whose connections they are reached.
_desks: weakref.WeakValueDictionary[str, Desk] = weakref.WeakValueDictionary()
_served: weakref.WeakKeyDictionary[Desk, weakref.WeakSet[Any]] = weakref.WeakKeyDictionary()
#: What threads of this process wait for.
_waiting: dict[Future[list[Outcome]], str] = {}


class Door:
    """Leads to one desk, from wherever it is sent.  Sending it lets the cluster in."""

    def __init__(self, id: str, desk: Desk | None = None) -> None:
        self._id, self._desk = id, desk

    @classmethod
    def to(cls, desk: Desk) -> Door:
        """Return the door to a desk of this process."""
        _desks[desk.id] = desk
        _watch_stops()
        return cls(desk.id, desk)

    def __reduce__(self) -> tuple[Callable[[str], Door], tuple[str]]:
        if self._here() is not None:
            _let_in(self._desk)
        return _door, (self._id,)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return "opg_magic.table.door", self._id

    def _here(self) -> Desk | None:
        # A forked child has the desk's object, and not its thread.
        return self._desk if self._desk is not None and self._desk.pid == os.getpid() else None

    def ask(self, texts: Sequence[str], places: Sequence[bytes]) -> list[Outcome]:
        """Return what comes of these prompts at these places.  Blocks."""
        desk = self._here()
        if desk is None:
            with _Line(self._id) as line:
                return _in_pieces(texts, places, line.send, line.receive)
        return _in_pieces(texts, places, desk.submit, lambda future: _result(future, self._id))


def _door(id: str) -> Door:
    return Door(id, _desks.get(id))


def _in_pieces(
    texts: Sequence[str],
    places: Sequence[bytes],
    send: Callable[[Sequence[str], Sequence[bytes]], T],
    receive: Callable[[T], list[Outcome]],
) -> list[Outcome]:
    """Hand prompts in a piece at a time: what is not handed in is not asked after a stop."""
    under_way: deque[T] = deque()
    made: list[Outcome] = []
    for piece in _pieces(texts):
        if len(under_way) == _AHEAD:
            made += receive(under_way.popleft())
        under_way.append(send(texts[piece], places[piece]))
    while under_way:
        made += receive(under_way.popleft())
    return made


def _pieces(texts: Sequence[str]) -> Iterator[slice]:
    begin = length = 0
    for at, text in enumerate(texts):
        if at > begin and (at - begin == _MOST or length + len(text) > _LONGEST):
            yield slice(begin, at)
            begin, length = at, 0
        length += len(text)
    if begin < len(texts):
        yield slice(begin, len(texts))


# ------------------------------------------------------------------------------- in this process


def _result(future: Future[list[Outcome]], id: str) -> list[Outcome]:
    _waiting[future] = id
    try:
        while True:
            # In pieces: an interrupt of the main thread is seen in between, on any system.
            with suppress(TimeoutError):
                return future.result(_SIGN)
            _leave_if_unwanted()
    finally:
        future.cancel()
        _waiting.pop(future, None)


def _watch_stops() -> None:
    """Where a computation on this process's threads ends, its desks hear of it.  Where it was
    interrupted, its parts stop waiting: their prompts that were not sent are not."""
    from dask.callbacks import Callback

    global _watching
    if _watching is None:

        def finish(graph: Any, _state: Any, failed: bool) -> None:
            if not any(desk.watch.counts for desk in list(_desks.values())):
                return
            ids = _doors(list(graph.values()))
            if failed:
                for future, id in list(_waiting.items()):
                    if id in ids:
                        future.cancel()
            why = "stopped" if isinstance(sys.exc_info()[1], KeyboardInterrupt) else None
            for desk in [one for id, one in list(_desks.items()) if id in ids]:
                desk.watch.ended(why)

        _watching = Callback(finish=finish)
        _watching.register()


_watching: Any = None


def _doors(parts: Any) -> set[str]:
    """Ids of the doors in a graph's tasks."""
    found: set[str] = set()
    open: list[Any] = [parts]
    while open:
        one = open.pop()
        if isinstance(one, Door):
            found.add(one._id)
        elif isinstance(one, dict):
            open += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            open += one
        elif isinstance(one, partial):
            open += (one.args, one.keywords)
        elif type(one).__module__.startswith("dask."):
            open += (getattr(one, name, None) for name in ("func", "args", "kwargs", "value"))
    return found


# ------------------------------------------------------------------------------------ on a worker


class _Line:
    """A worker's messages to the desk, and the replies."""

    def __init__(self, id: str) -> None:
        from distributed import Queue, get_client

        try:
            client = get_client()
        except ValueError:
            raise ConfigError(
                "This process cannot reach the one that called map(). Nothing was sent.",
                hint="Compute on threads, or with a distributed Client.",
            ) from None
        self._ticket, self._count = secrets.token_hex(16), 0
        self._came: dict[int, Any] = {}
        self._desk = Queue(_inbox(id), client=client)
        self._replies = Queue(_outbox(id, self._ticket), client=client)

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with suppress(Exception):
            if kind is not None:
                self._desk.put({"ticket": self._ticket, "stop": True})
            self._replies.close()
            self._desk.close()

    def send(self, texts: Sequence[str], places: Sequence[bytes]) -> int:
        self._count += 1
        message = {"ticket": self._ticket, "number": self._count}
        self._desk.put({**message, "texts": list(texts), "places": list(places)})
        return self._count

    def receive(self, number: int) -> list[Outcome]:
        from distributed.protocol.pickle import loads

        while number not in self._came:
            try:
                told, content = self._replies.get(timeout=_SILENCE)
            except TimeoutError:
                raise CallFailed(
                    "The process that called map() does not answer.",
                    hint="Call map() again where the Client is: what was paid is in its ledger.",
                ) from None
            if told:
                self._came[told] = content
            _leave_if_unwanted()
        content = self._came.pop(number)
        if isinstance(content, str):
            raise CallFailed(content)
        outcomes: list[Outcome] = loads(content)
        return outcomes


def _leave_if_unwanted() -> None:
    """End this thread's task where nobody wants it any more: the scheduler has let it go."""
    if "distributed" not in sys.modules:
        return
    from distributed import Reschedule, get_worker
    from distributed.worker import thread_state

    try:
        key = thread_state.key
        task = get_worker().state.tasks.get(key)
    except (AttributeError, ValueError):
        return
    if task is None or task.state in ("cancelled", "released", "forgotten"):
        raise Reschedule


# ------------------------------------------------------------------------- in the client's process


def _inbox(id: str) -> str:
    return f"opg-magic-{id}"


def _outbox(id: str, ticket: str) -> str:
    return f"opg-magic-{id}-{ticket}"


def _let_in(desk: Desk | None) -> None:
    """Read, from now on, what workers of this process's clients send to this desk.  Which of them
    computes is not known here: it need not be the current one."""
    if desk is None or "distributed" not in sys.modules:
        return
    from distributed import Client

    known = _served.setdefault(desk, weakref.WeakSet())
    for client in _clients(Client):
        if client not in known:
            known.add(client)
            client.loop.add_callback(_serve, desk, client)


def _clients(kind: Any) -> list[Any]:
    found = {id(one): one for one in list(getattr(kind, "_instances", ()))}
    with suppress(ValueError):
        current = kind.current()
        found[id(current)] = current
    return [one for one in found.values() if one.status in ("running", "connecting")]


async def _serve(desk: Desk, client: Any) -> None:
    from distributed import Queue

    under_way: dict[str, set[asyncio.Task[None]]] = {}
    while client.status in ("running", "connecting"):
        if client.status == "connecting":
            await asyncio.sleep(_SIGN)
            continue
        try:
            inbox = await Queue(_inbox(desk.id), client=client)
            while True:
                _take(await inbox.get(), desk, client, under_way)
        except asyncio.CancelledError:
            raise
        except Exception:
            # The connection to the scheduler broke: Dask makes another one, or closes the client.
            log.debug("the way to a cluster was interrupted", exc_info=True)
            await asyncio.sleep(_SIGN)


def _take(
    message: Any, desk: Desk, client: Any, under_way: dict[str, set[asyncio.Task[None]]]
) -> None:
    """One message of a worker.  What has not the form of one is dropped."""
    match message:
        case {"ticket": str(ticket), "stop": True}:
            for task in under_way.pop(ticket, ()):
                task.cancel()
        case {
            "ticket": str(ticket),
            "number": int(number),
            "texts": [*texts],
            "places": [*places],
        } if (
            len(texts) == len(places) <= _MOST
            and all(isinstance(text, str) for text in texts)
            and all(isinstance(place, bytes) for place in places)
        ):
            asked = desk.submit(texts, places)
            task = asyncio.create_task(_reply(asked, desk.id, client, ticket, number))
            group = under_way.setdefault(ticket, set())
            group.add(task)

            def end(ended: asyncio.Task[None]) -> None:
                group.discard(ended)
                if not group and under_way.get(ticket) is group:
                    del under_way[ticket]

            task.add_done_callback(end)
        case _:
            log.warning("a message that is none came to a table's desk")


async def _reply(
    waiting: Future[list[Outcome]], id: str, client: Any, ticket: str, number: int
) -> None:
    """Ask a worker's prompts, and tell it what came.  It may be gone: then the answers are in the
    ledger for whoever works on that part next."""
    from distributed import Queue
    from distributed.protocol.pickle import dumps

    asked = asyncio.wrap_future(waiting)
    replies = None
    try:
        replies = await Queue(_outbox(id, ticket), client=client)
        while not (await asyncio.wait({asked}, timeout=_SIGN))[0]:
            # Without its scheduler, a computation has failed already.
            if client.status != "running":
                return
            async with asyncio.timeout(_LOST):
                await replies.put([0, None])
        try:
            content: bytes | str = dumps(asked.result())
        except Exception as problem:
            log.warning("a part of a table failed unexpectedly", exc_info=True)
            content = (
                f"opg_magic failed in the process that called map() ({type(problem).__name__})"
            )
        await replies.put([number, content])
    except OSError:  # TimeoutError, and CommClosedError of Dask's
        log.debug("a worker of a cluster cannot be told what came", exc_info=True)
    finally:
        asked.cancel()
        if replies is not None:
            replies.close()
