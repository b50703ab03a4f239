"""Executor of a replay: calls functions on a lake in memory, with a model that is already open."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from functions.engine.executors.executor import InProcessExecutor
from functions.engine.forecaster import SHIPPED, Forecaster
from storage.config.settings import Settings
from storage.query.memory_lake import MemoryLake
from storage.query.reader import Reader

__all__ = ["MemoryExecutor", "OpenModel"]


class OpenModel:
    """A model as functions ask for it, from the first step of a replay to the last."""

    def __init__(self, model: Forecaster) -> None:
        self._model = model

    @property
    def path(self) -> Path | None:
        """Return its file; None for the shipped one."""
        return None if self._model.path == SHIPPED else self._model.path

    def serving(self) -> Forecaster:
        """Return the model."""
        return self._model


class MemoryExecutor(InProcessExecutor):
    """Calls functions as the engine does; they read `lake` and forecast with `model`."""

    def __init__(self, lake: MemoryLake, model: Forecaster, settings: Settings) -> None:
        super().__init__(lake.reader.folders, settings)
        self._lake = lake
        self._model = OpenModel(model)

    @contextmanager
    def _snapshot(self) -> Iterator[Reader]:
        yield self._lake.reader
