"""Python processes of ours: this interpreter and our packages, in any working directory."""

import os
import sys
from pathlib import Path

__all__ = ["PACKAGES", "module_command", "module_environment"]

PACKAGES = Path(__file__).parent.parent


def module_command(module: str, *arguments: str | Path) -> list[str]:
    """Return the command that runs a module of ours, `python -P -m MODULE ARGUMENT…`."""
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


def module_environment() -> dict[str, str]:
    """Return our environment with our packages first on PYTHONPATH."""
    paths = [str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
