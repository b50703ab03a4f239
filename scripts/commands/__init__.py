"""The command, `hoursight …`: one module a noun; each loads what it runs only when it runs."""

from scripts.commands import functions, keys, lake, models, run, sources
from scripts.commands.group import cli

__all__ = ["cli", "functions", "keys", "lake", "models", "run", "sources"]
