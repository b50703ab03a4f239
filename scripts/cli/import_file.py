"""`hoursight import`: history from a file, mapped and written as segments; resumes after a kill."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from functions.connectors.files import FileConnector
from functions.connectors.incremental_read import IncrementalRead, function_of
from functions.connectors.source_file import parse_source_toml, source_from_dict
from functions.engine.function import Function
from functions.engine.runner import Runner
from functions.normalize.devices import DeviceRules
from functions.normalize.file_readers import FORMS, count_rows
from functions.normalize.strict_toml import SourceInvalid
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.errors import HoursightError
from storage.inbox import notify

__all__ = ["import_file"]

NAME = "import"
# With more segments in the inbox the import waits for the writer, if one is running.
MAX_WAITING = 20
PATIENCE_S = 2.0
COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
)


class NotImported(HoursightError):
    """A file that cannot be imported; the message says why and how many rows were."""


def import_file(data: Path, file: Path, like: Path | None, say: Callable[..., Any]) -> int:
    """Write the samples of a file into the inbox; return the number of rows.

    After a kill the same command resumes behind the last segment. `like` is a source file whose
    mapping and site are used. Raises NotImported.
    """
    if file.suffix.lower() not in FORMS:
        raise NotImported(
            f"'{file}' has an unknown format (expected a name that ends with {', '.join(FORMS)})"
        )
    runner = Runner(Folders.at(data).create(), read_settings(data))
    function = _function(runner, file.absolute(), like)
    rows: int = 0
    reasons: dict[str, None] = {}
    with Progress(*COLUMNS, disable=not sys.stderr.isatty(), console=Console(stderr=True)) as bar:
        task = bar.add_task(file.name, total=count_rows(file))
        while True:
            run = runner.run(function, "command")
            runner.flush()
            if run.error is not None:
                raise NotImported(f"'{file}' after {rows:,} rows: {run.error}")
            rows += run.batch.rows["metrics"].num_rows
            reasons |= dict.fromkeys(run.batch.reasons)
            bar.update(task, completed=rows + run.batch.refused)
            if not run.batch.more:
                break
            _wait_for_writer(runner.folders)
    for reason in reasons:
        say(f"! {reason}", err=True)
    return rows


def _function(runner: Runner, file: Path, like: Path | None) -> Function:
    schema, folders = runner.settings.schema(), runner.folders
    raw = parse_source_toml(like.read_bytes()) if like else {}
    connection = raw.get("connection", {}) if raw.get("kind") == "files" else {}
    try:
        source = source_from_dict(
            NAME,
            {k: raw[k] for k in ("mapping", "site") if k in raw}
            | {"kind": "files", "connection": connection},
            folders, schema, DeviceRules(runner.settings.devices),
        )  # fmt: skip
    except SourceInvalid as error:
        raise NotImported(f"{like}: {error}") from error
    delimiter: str = source.connection.delimiter  # type: ignore[attr-defined]
    read = IncrementalRead(source, schema.metrics, lambda: FileConnector(file, delimiter))
    return function_of(read, source, "import")


def _wait_for_writer(folders: Folders) -> None:
    """Wait while there are many segments in the inbox and the writer commits them."""
    waiting = notify.pending_segments(folders.data)
    while waiting > MAX_WAITING:
        time.sleep(PATIENCE_S)
        left = notify.pending_segments(folders.data)
        if left >= waiting:  # no writer is running
            return
        waiting = left
