"""Environment test: every command, in folders and surroundings in which it cannot work as usual.

    python -m scripts.tools.environments
    python -m scripts.tools.environments --only full --python /usr/bin/python3

As root, commands run as another user, without a home folder. Each must end with a sentence, none
with a traceback, none without a word. Exits with 1 otherwise. `--python` names an interpreter that
the other user may run, where this one lies in a closed folder.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click
import pyarrow as pa

from scripts.cli.output import print_grid
from scripts.python_process import module_environment
from storage.config.folders import Folders
from storage.inbox import segment
from storage.lake.writer import Writer
from storage.model.schema import table

__all__ = ["Outcome", "judge", "places"]

NOBODY = 65534
TIMEOUT_S = 120.0
COMMANDS = (
    ("sql", "SELECT count(*) FROM metrics"), ("backup", "{out}/b.tar"), ("doctor",), ("sources",),
    ("functions",), ("functions", "runs"), ("functions", "why", "rollup"),
    ("functions", "new", "x"), ("models",), ("models", "rollback"), ("keys", "list"),
    ("schema",), ("schema", "metrics"),
    ("keys", "create", "--scope", "read", "--name", "x"), ("keys", "revoke", "x"),
    ("delete", "a", "--yes"), ("import", "{out}/x.csv"), ("call", "rollup"),
    ("call", "rollup", "--dry-run"), ("scenario", "mixed"), ("restore", "{out}/x.csv"),
    ("backtest", "--lake"), ("sources", "new", "files"), ("sources", "test", "{out}/x.csv"),
)  # fmt: skip
CSV = "server,timestamp,load_average\na,2026-01-02T03:04:05Z,1\n"


@dataclass(frozen=True)
class Place:
    """A data folder, and what is unusual around the command."""

    name: str
    data: str
    environment: dict[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code, None if it did not end, and all it printed."""

    code: int | None
    text: str


def judge(outcome: Outcome) -> str:
    """What is wrong with an outcome; empty if nothing is."""
    if outcome.code is None:
        return "did not end"
    if "Traceback (most recent call last)" in outcome.text:
        return "traceback"
    if outcome.code < 0:
        return f"ended by signal {-outcome.code}"
    if outcome.code and not outcome.text.strip():
        return "failed without a word"
    return ""


@contextmanager
def places(base: Path) -> Iterator[list[Place]]:
    """The places, made below `base`; mounts need root and are removed at the end."""
    lake = _lake(base / "lake")
    odd = base / 'it\'s a "lake" für 服务器'
    shutil.copytree(lake, odd)
    closed = base / "closed"
    shutil.copytree(lake, closed)
    closed.chmod(0o700)
    (base / "file").write_text("x")
    (base / "loop").symlink_to("loop")
    found = [
        Place("own folder", str(_given(base / "own", lake))),
        Place("odd name", str(_given(odd))),
        Place("latin-1 terminal", str(odd), {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C"}),
        Place("one CPU", str(base / "own"), wrapper=("taskset", "-c", "0")),
        Place("64 open files", str(base / "own"), wrapper=("prlimit", "--nofile=64")),
        Place("file", str(base / "file")),
        Place("below a file", str(base / "file" / "x")),
        Place("missing", str(base / "out" / "missing")),
        Place("link to itself", str(base / "loop")),
        Place("name of 300 characters", str(base / ("x" * 300))),
    ]
    if os.geteuid() != 0:
        yield found
        return
    with _mounted(base, lake) as mounted:
        yield [
            *found,
            Place("another user's, closed", str(closed)),
            Place("another user's, readable", str(lake)),
            Place("missing below another user's", str(lake / "missing")),
            *mounted,
        ]


def _lake(data: Path) -> Path:
    """A lake with a sample, readable by all."""
    data.mkdir()
    with closing(Writer.open(data)) as writer:
        now = datetime.now(UTC)
        row = {"server": "a", "ts": now, "load_average": 1.0}
        rows = pa.Table.from_pylist([row], table("metrics").arrow)
        segment.write(Folders.at(data), rows, segment.Provenance("metrics", "test", now))
        writer.commit_waiting(now)
    for path in (data, *data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return data


def _given(folder: Path, copy_of: Path | None = None) -> Path:
    """Give a folder, or a copy of one, to the user who runs the commands."""
    if copy_of is not None:
        shutil.copytree(copy_of, folder)
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    return folder


@contextmanager
def _mounted(base: Path, lake: Path) -> Iterator[list[Place]]:
    """A read-only mount of the lake, and a full disk with a copy of it."""
    read_only, full = base / "read-only", base / "full"
    for folder in (read_only, full):
        folder.mkdir()
    _run("mount", "--bind", str(lake), str(read_only))
    try:
        _run("mount", "-o", "remount,ro,bind", str(read_only))
        _run("mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", str(full))
        try:
            _given(full / "lake", lake)
            with (full / "filler").open("wb") as file:
                _fill(file.fileno())
            yield [Place("read-only", str(read_only)), Place("full", str(full / "lake"))]
        finally:
            _run("umount", str(full))
    finally:
        _run("umount", str(read_only))


def _fill(handle: int) -> None:
    try:
        while True:
            os.write(handle, bytes(4096))
    except OSError:
        return


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _outcome(place: Place, command: tuple[str, ...], python: str, out: Path) -> Outcome:
    arguments = [part.format(out=out) if "{out}" in part else part for part in command]
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    become = ["setpriv", *user] if os.geteuid() == 0 else []
    program = [python, "-P", "-m", "hoursight", "--data", place.data, *arguments]
    surroundings = {k: v for k, v in module_environment().items() if k != "HOME"}
    surroundings["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        done = subprocess.run(
            [*place.wrapper, *become, *program], env=surroundings | place.environment, cwd=out,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(None, "")
    return Outcome(done.returncode, (done.stdout + done.stderr).decode(errors="replace"))


@click.command()
@click.option("--only", default="", help="The place, by a part of its name.")
@click.option("--python", default=sys.executable, help="The interpreter of the commands.")
@click.option("--verbose", is_flag=True, help="Print the last line of each command.")
def main(only: str, python: str, verbose: bool) -> None:
    """Run all commands in all places."""
    base = Path(tempfile.mkdtemp(prefix="hoursight-environments-"))
    base.chmod(0o755)
    out = base / "out"
    out.mkdir()
    (out / "x.csv").write_text(CSV)
    _given(out)
    rows, faults = [], 0
    with places(base) as known:
        for place in (each for each in known if only in each.name):
            codes, wrong = [], []
            for command in COMMANDS:
                (out / "b.tar").unlink(missing_ok=True)
                outcome = _outcome(place, command, python, out)
                codes.append(outcome.code)
                if fault := judge(outcome):
                    wrong.append(f"{' '.join(command)}: {fault}")
                if verbose or fault:
                    last = outcome.text.strip().rpartition("\n")[2]
                    click.echo(
                        f"{place.name}: {' '.join(command)}: {outcome.code} {last}", err=True
                    )
            faults += len(wrong)
            rows.append([place.name, str(len(codes)), str(codes.count(0)), "; ".join(wrong)])
    shutil.rmtree(base, ignore_errors=True)
    print_grid(["place", "commands", "succeeded", "wrong"], rows)
    click.echo(f"{sum(int(row[1]) for row in rows)} commands, {faults} ended wrongly")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
