"""The cage of a process."""

import subprocess
import sys
from pathlib import Path

import pytest

from storage.sandbox import cage
from storage.sandbox.cage import missing_for_cage

ROOT = Path(__file__).parents[3]
# What a native exploit inside of the database engine would try, by Python.
SCRIPT = """
import os, resource, signal, socket, subprocess, sys
from pathlib import Path
from storage.sandbox.cage import close_files, close_system, limit_cpu, limit_memory
free = Path(sys.argv[1])
close_system()
limit_memory(200 << 20)
limit_cpu(60)
close_files([free], closed=Path("/etc/passwd"))
sock = ("127.0.0.1", 9)
attempts = {
    "write": lambda: Path(free, "new").write_text("x"),
    "append": lambda: open(Path(free, "here"), "a"),
    "remove": lambda: os.unlink(Path(free, "here")),
    "rename": lambda: os.rename(Path(free, "here"), Path(free, "there")),
    "truncate": lambda: os.truncate(Path(free, "here"), 0),
    "chmod": lambda: os.chmod(Path(free, "here"), 0o777),
    "times": lambda: os.utime(Path(free, "here")),
    "link": lambda: os.link(Path(free, "here"), Path(free, "there")),
    "folder": lambda: os.mkdir(Path(free, "folder")),
    "read": lambda: Path("/etc/passwd").read_text(),
    "environ": lambda: Path("/proc/self/environ").read_text(),
    "list": lambda: os.listdir("/"),
    "tcp": lambda: socket.create_connection(sock, 1),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "fork": os.fork,
    "program": lambda: subprocess.run(["/bin/true"]),
    "signal": lambda: os.kill(os.getppid(), 0),
    "memory": lambda: bytearray(400 << 20),
    "memfd": lambda: os.memfd_create("x"),
    "raise": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1)) if os.getuid() else 1 / 0,
}
for name, attempt in attempts.items():
    try:
        attempt()
    except (OSError, MemoryError, ValueError, ZeroDivisionError):
        continue
    print(name)
print(Path(free, "here").read_text())
"""


def test_a_confined_process_can_read_its_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("lake")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.stdout.split() == ["lake"], result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_this_machine_has_what_a_cage_needs() -> None:
    assert missing_for_cage() is None


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [("landlock_version", lambda: 0, "has no Landlock"), ("TABLES", {}, "system calls of")],
)
def test_a_machine_without_it_says_what_is_missing(
    place: str, value: object, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cage, place, value)
    missing = missing_for_cage()
    assert missing is not None
    assert words in missing
