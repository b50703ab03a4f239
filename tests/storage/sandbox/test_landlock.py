"""Landlock."""

import subprocess
import sys
from pathlib import Path

from storage.sandbox.landlock import landlock_version

SCRIPT = """
import sys
from pathlib import Path
from storage.sandbox.landlock import restrict_reading
restrict_reading([Path(sys.argv[1]), Path("/nowhere")])
print(Path(sys.argv[1], "inside").read_text())
for path, mode in ((sys.argv[2], "r"), (sys.argv[1] + "/inside", "a"), (sys.argv[1] + "/new", "x")):
    try:
        open(path, mode)
        print("opened", path, mode)
    except PermissionError:
        print("refused")
"""


def test_only_what_is_below_the_paths_can_be_read(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "outside"
    inside.mkdir()
    (inside / "inside").write_text("lake")
    outside.write_text("secret")
    command = [sys.executable, "-c", SCRIPT, str(inside), str(outside)]
    root = Path(__file__).parents[3]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert result.stdout.split() == ["lake", "refused", "refused", "refused"]


def test_this_kernel_has_it() -> None:
    assert landlock_version() >= 1
