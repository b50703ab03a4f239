"""What a command hands over to the code behind it."""

from collections.abc import Sequence
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

__all__ = ["CommandCall"]


class CommandCall:
    """Stands in for the code behind a command; it answers `answer` and keeps its last call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, target: str, answer: object = None) -> None:
        self.arguments: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}
        self._answer = answer
        monkeypatch.setattr(target, self._called)

    def _called(self, *arguments: Any, **options: Any) -> object:
        self.arguments, self.options = arguments, options
        return self._answer

    @staticmethod
    def run(command: click.Command, arguments: Sequence[str]) -> Result:
        """Run a command in this process, as of the data folder `d`."""
        return CliRunner().invoke(command, [*arguments, "--data", "d"], catch_exceptions=False)
