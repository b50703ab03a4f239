"""Output of child processes: lines of bounded length, read from a pipe."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

__all__ = ["MAX_LINE_BYTES", "LineSplitter", "OutputPipe"]

MAX_LINE_BYTES = 16 << 10
CHUNK_BYTES = 64 << 10


class LineSplitter:
    """Splits bytes into lines; a long line is cut, and the bytes that are missing are counted."""

    def __init__(self, most_bytes: int = MAX_LINE_BYTES) -> None:
        self._most_bytes = most_bytes
        self._line = b""
        self._cut_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the lines that `chunk` completes."""
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            self._append(part)
            yield self._take()
        self._append(rest)

    def close(self) -> Iterator[str]:
        """Yield the last line if it has no line feed."""
        if self._line:
            yield self._take()

    def _append(self, part: bytes) -> None:
        room = self._most_bytes - len(self._line)
        self._line += part[:room]
        self._cut_bytes += max(0, len(part) - room)

    def _take(self) -> str:
        text, cut = self._line.decode(errors="replace").rstrip(), self._cut_bytes
        self._line, self._cut_bytes = b"", 0
        return f"{text}… (cut, {cut:,} more bytes)" if cut else text


class OutputPipe:
    """A pipe that calls `on_line` for each line, in the running event loop.

    A process's own pipe keeps `Process.wait` from returning while a grandchild holds it open; this
    one does not.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._lines = LineSplitter()
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._loop.add_reader(self._read_end, self._read)

    def started(self) -> None:
        """Close our write end, once the process that writes has been started."""
        os.close(self.write_end)

    async def close(self, within_s: float) -> None:
        """Wait until all was read, at most `within_s`, and close the pipe."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), within_s)
        self._loop.remove_reader(self._read_end)
        os.close(self._read_end)
        self._pass_on(self._lines.close())

    def _read(self) -> None:
        try:
            chunk = os.read(self._read_end, CHUNK_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self._loop.remove_reader(self._read_end)
            self._ended.set()
        self._pass_on(self._lines.feed(chunk))

    def _pass_on(self, lines: Iterator[str]) -> None:
        for line in lines:
            self._on_line(line)
