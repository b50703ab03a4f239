"""An action that is repeated while the site is running."""

import asyncio

from web.periodic import repeated


def test_an_action_runs_again_and_again_and_once_more_at_the_end() -> None:
    calls: list[int] = []
    third = asyncio.Event()

    async def action() -> None:
        calls.append(len(calls))
        if len(calls) == 3:
            third.set()

    async def run() -> int:
        async with repeated(action, 0.001):
            await asyncio.wait_for(third.wait(), 60)
            before = len(calls)
        return len(calls) - before

    assert asyncio.run(run()) >= 1
