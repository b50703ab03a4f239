"""The command `hoursight`: one module of commands per noun; what a command runs is loaded late."""

from scripts.cli import (
    alert_commands,
    alert_delivery,
    alert_proof,
    function_commands,
    key_commands,
    lake_commands,
    mcp_command,
    model_commands,
    report_commands,
    run_commands,
    source_commands,
    user_commands,
)
from scripts.cli.group import cli

__all__ = [
    "alert_commands",
    "alert_delivery",
    "alert_proof",
    "cli",
    "function_commands",
    "key_commands",
    "lake_commands",
    "mcp_command",
    "model_commands",
    "report_commands",
    "run_commands",
    "source_commands",
    "user_commands",
]
