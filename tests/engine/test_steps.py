"""Between two steps of this machine's own work, the loop serves the connections."""

from __future__ import annotations

import asyncio

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
