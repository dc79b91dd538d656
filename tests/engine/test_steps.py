"""Between two steps of this machine's own work, the loop serves the connections."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from opg_magic.call.steps import Steps


def test_each_pass_of_the_loop_has_one_step_in_the_order_asked_for() -> None:
    done: list[str] = []

    async def main() -> None:
        steps, loop = Steps(), asyncio.get_running_loop()

        async def work(name: str) -> None:
            await steps.turn()
            done.append(name)
            # Whatever is ready now comes before the next step.
            loop.call_soon(done.append, "connection")

        await asyncio.gather(*(work(name) for name in "abc"))

    asyncio.run(main())
    assert done[:5] == ["a", "connection", "b", "connection", "c"]


def test_who_is_stopped_while_waiting_holds_nobody_up() -> None:
    async def main() -> None:
        steps = Steps()
        first, second = (asyncio.ensure_future(steps.turn()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert first.cancelled()
        await steps.turn()

    asyncio.run(main())


def test_a_step_that_must_not_be_left_out_is_done_before_its_task_ends() -> None:
    done: list[str] = []

    async def main() -> None:
        steps = Steps()

        async def work() -> None:
            await steps.last_turn()
            done.append("recorded")
            await asyncio.sleep(0)
            done.append("went on")

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
    assert done == ["recorded"]


def test_no_step_is_taken_while_the_ledger_is_brought_onto_the_disk() -> None:
    done: list[str] = []

    async def main() -> None:
        disk: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        held_up: list[asyncio.Future[None]] = [disk]
        steps = Steps(lambda: held_up[0] if held_up else None)

        async def work(name: str) -> None:
            await steps.turn()
            done.append(name)

        working = asyncio.gather(*(work(name) for name in "ab"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert done == []
        held_up.clear()
        disk.set_exception(OSError("no space left"))  # whoever waits for the disk is told
        await working
        disk.exception()

    asyncio.run(main())
    assert done == ["a", "b"]


def test_a_ledger_says_how_long_it_can_not_be_written(tmp_path: Path) -> None:
    from opg_magic.ledger.access import together
    from opg_magic.ledger.store import Ledger

    async def main() -> None:
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            begun, go_on = threading.Event(), threading.Event()
            flush = ledger._file.flush

            def slowly() -> None:
                begun.set()
                assert go_on.wait(20)
                flush()

            ledger._file.flush = slowly
            together.set(True)
            with ledger.exclusively():
                pass
            assert ledger.held_up() is None
            waiting = asyncio.ensure_future(ledger.on_disk())
            await asyncio.to_thread(begun.wait, 20)
            held_up = ledger.held_up()
            assert held_up is not None
            assert not held_up.done()
            go_on.set()
            await waiting
            assert held_up.done()
            assert ledger.held_up() is None

    asyncio.run(main())
