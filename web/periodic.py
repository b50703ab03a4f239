"""An action that is repeated while the site is running."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

__all__ = ["repeated"]


@asynccontextmanager
async def repeated(action: Callable[[], Awaitable[None]], every_s: float) -> AsyncIterator[None]:
    """Context: run `action` at once, every `every_s` seconds, and once more at the end."""
    stop = asyncio.Event()

    async def repeat() -> None:
        while not stop.is_set():
            await action()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), every_s)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        stop.set()
        await task
        await action()
