"""A running `hoursight up`, and a working directory with modules of the names of ours."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from storage.platform.process import with_parent_death_signal

__all__ = ["Up", "crowd", "running"]

NO_SOURCE = "[sources.host]\nenabled = false\n"


def crowd(folder: Path) -> Path:
    """Put modules with the names of ours into `folder`, each of which raises, and a `var`."""
    for name in ("storage", "functions", "scripts", "model_export"):
        (folder / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    (folder / "web").mkdir()
    (folder / "web" / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    data = folder / "var"
    data.mkdir()
    (data / "hoursight.toml").write_text(NO_SOURCE)
    return folder


class Up:
    """A running `hoursight up` and what it has printed."""

    def __init__(self, folder: Path, command: Sequence[str], **environment: str) -> None:
        self.said = ""
        self.process = subprocess.Popen(
            with_parent_death_signal(list(command), signal.SIGTERM), cwd=folder,
            env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def until(self, text: str, within_s: float = 90) -> None:
        assert self.process.stdout is not None
        pipe, give_up = self.process.stdout.fileno(), time.monotonic() + within_s
        while text not in self.said:
            ready, _, _ = select.select([pipe], [], [], max(0, give_up - time.monotonic()))
            chunk = os.read(pipe, 65536) if ready else b""
            assert chunk, f"{text!r} did not come: {self.said}"
            self.said += chunk.decode(errors="replace")

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=60)
        self.said += rest.decode(errors="replace")


@contextmanager
def running(folder: Path, command: Sequence[str], **environment: str) -> Iterator[Up]:
    """Run a command in `folder`; kill it where the test has not ended it."""
    up = Up(folder, command, **environment)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.process.kill()
            up.process.communicate()
