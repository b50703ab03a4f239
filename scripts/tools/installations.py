"""Installation test: wheel and source archive in new environments, and a former commit's folder.

    python -m scripts.tools.installations python3.11 python3.12 python3.13
    python -m scripts.tools.installations python3.11 --former HEAD~50

Each interpreter gets an environment with the runtime only, first from the wheel, then from the
source archive. There `hoursight up` must be ready with samples of this host. With `--former`, the
folder was written by that commit, and its samples must be there afterwards. Exits with 1 otherwise.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from scripts.cli.output import print_grid
from scripts.cli.printer import say
from scripts.ports import free_port

__all__ = ["built", "is_ready"]

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 180.0
COUNT = "SELECT count(*) AS n FROM metrics"


def built(folder: Path) -> dict[str, Path]:
    """Build wheel and source archive into `folder`, by kind."""
    build = "from hatchling.build import {0}; import sys; print({0}(sys.argv[1]))"
    found = {}
    for kind, function in (("wheel", "build_wheel"), ("sdist", "build_sdist")):
        command = [sys.executable, "-c", build.format(function), str(folder)]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        found[kind] = folder / done.stdout.split()[-1]
    return found


def is_ready(url: str) -> bool:
    """Return True if the site says that it is ready."""
    address = f"{url}/readyz"
    with suppress(OSError), urllib.request.urlopen(address, timeout=5) as reply:  # noqa: S310 - ours
        return int(reply.status) == 200
    return False


@contextmanager
def _up(program: list[str], data: Path, cwd: Path) -> Iterator[str]:
    """Run `hoursight up`, and yield the URL of its site."""
    port = free_port()
    with (cwd / "up.log").open("ab") as log:
        process = subprocess.Popen(
            [*program, "up", "--data", str(data), "--port", str(port)], cwd=cwd, stdout=log,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _runs(program: list[str], data: Path, cwd: Path, before: int = 0) -> str:
    """Start the system on a folder with `before` samples, until it is ready and has more.

    Returns the number of its samples, or what is wrong.
    """
    with _up(program, data, cwd) as url:
        give_up = time.monotonic() + READY_WITHIN_S
        samples = "not ready"
        while time.monotonic() < give_up:
            if is_ready(url):
                samples = _samples(program, data, cwd)
                if samples.isdigit() and int(samples) > before:
                    break
            time.sleep(1)
    return samples


def _samples(program: list[str], data: Path, cwd: Path) -> str:
    command = [*program, "sql", COUNT, "--data", str(data), "--format", "json"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    with suppress(ValueError):
        return str(json.loads(done.stdout)["n"])
    return done.stderr.strip().rpartition("\n")[2] or "no answer"


def _installed(python: str, archive: Path, folder: Path) -> list[str]:
    """The command of a new environment with the archive in it."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, str(archive)], check=True)
    return [str(folder / "bin" / "hoursight")]


def _former_samples(commit: str, data: Path, folder: Path) -> int:
    """Let a former commit write the data folder; return the number of its samples."""
    worktree = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*worktree, "add", "-q", "--detach", str(folder), commit], check=True)
    try:
        program = ["env", f"PYTHONPATH={folder}", sys.executable, "-m", "hoursight"]
        return int(_runs(program, data, folder))
    finally:
        subprocess.run([*worktree, "remove", "--force", str(folder)], check=True)


@click.command()
@click.argument("pythons", nargs=-1, required=True)
@click.option("--former", default="", help="The commit that writes the data folder first.")
def main(pythons: tuple[str, ...], former: str) -> None:
    """Install, start, and count."""
    base = Path(tempfile.mkdtemp(prefix="hoursight-installations-"))
    rows, faults = [], 0
    try:
        for kind, archive in built(base).items():
            for python in pythons:
                folder = base / f"{kind}-{Path(python).name}"
                data = folder / "var"
                before = _former_samples(former, data, base / "former") if former else 0
                program = _installed(python, archive, folder / "env")
                samples = _runs(program, data, folder, before)
                well = samples.isdigit() and int(samples) > before
                faults += not well
                rows.append([kind, python, str(before), samples, "" if well else "WRONG"])
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print_grid(["archive", "python", "samples before", "samples, or what is wrong", ""], rows)
    say(f"{len(rows)} installations, {faults} do not run")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
