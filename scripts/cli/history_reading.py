"""How the commands `train` and `backtest` read history from files, by their options."""

from collections.abc import Sequence
from pathlib import Path

from functions.normalize.history_files import LoadedHistory, read
from functions.normalize.mapping import Time
from storage.config.settings import read_settings
from storage.model.metrics import METRICS
from storage.query.history import HistoryError

__all__ = ["read_history"]


def read_history(
    data: Path, files: Sequence[Path], time_format: str, time_zone: str | None
) -> LoadedHistory:
    """Return the history in files, with the profiles and limits of the settings.

    Raises HistoryError.
    """
    option = "--time-format"
    try:
        Time(field="ts", format=time_format)
        option = "--time-zone"
        time = Time(field="ts", format=time_format, zone=time_zone)
    except ValueError as error:
        raise HistoryError(f"{option}: {error}") from error
    settings = read_settings(data)
    metrics = settings.schema().metrics[: len(METRICS)]
    return read(files, time, settings.profiles.all_patterns, metrics)
