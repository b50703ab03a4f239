"""`hoursight import`: history from a file, mapped and written as segments; resumes after a kill."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from functions.connectors.incremental_read import IncrementalRead, function_of
from functions.connectors.source_file import SourceConfig, source_from_dict
from functions.connectors.whole_files import FileConnector
from functions.engine.function import Function
from functions.engine.runner import Run, Runner
from functions.normalize.devices import DeviceRules
from functions.normalize.file_readers import FORMS, FileForm, count_rows
from functions.normalize.mapping import ServerNotNamed
from functions.normalize.strict_toml import SourceInvalid
from functions.normalize.unit_questions import UnitQuestions
from scripts.cli.import_mapping import ImportOptions, mapping_source
from scripts.cli.import_outcome import import_outcome
from scripts.cli.printer import console
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.errors import HoursightError
from storage.inbox import notify
from storage.platform.printable import printable

__all__ = ["import_file"]

NAME = "import"
# With more segments in the inbox the import waits for the writer, if one is running.
MAX_WAITING = 20
PATIENCE_S = 2.0
COLUMNS = (
    TextColumn("{task.description}", markup=False),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
)


class NotImported(HoursightError):
    """A file that cannot be imported; the message says why and how many rows were."""


@dataclass
class Imported:
    """What an import has brought so far."""

    rows: int = 0
    refused: int = 0
    reasons: dict[str, None] = field(default_factory=dict)
    run_ids: list[str] = field(default_factory=list)

    def add(self, run: Run) -> None:
        """Add a run."""
        batch = run.batch
        self.run_ids.append(run.entry["run_id"])
        self.rows += batch.rows["metrics"].num_rows
        self.refused += batch.refused
        self.reasons |= dict.fromkeys(batch.reasons)


def import_file(
    data: Path,
    file: Path,
    like: str | Path | None,
    say: Callable[..., Any],
    options: ImportOptions = ImportOptions(),  # noqa: B008 - it is frozen
) -> int:
    """Write the samples of a file into the inbox; return the number of rows.

    After a kill the same command resumes behind the last segment; after its end it reads the file
    again. `like` is a source file whose mapping and site are used, or the name of a stock mapping;
    `options` state more. Raises NotImported, also when the file brought no row, and UnknownMapping.
    """
    if file.suffix.lower() not in FORMS:
        raise NotImported(
            f"'{file}' has an unknown format (expected a name that ends with {', '.join(FORMS)})"
        )
    runner = Runner(Folders.at(data).create(), read_settings(data))
    source = _source(runner, like, options)
    form: FileForm = source.connection.form  # type: ignore[attr-defined]
    connector = FileConnector(file.absolute(), form, source.options.reader)
    read = IncrementalRead(source, runner.settings.schema().metrics, lambda: connector)
    questions = UnitQuestions(source.mapping, runner.settings.schema().metrics)
    imported = _run_to_end(runner, function_of(read, source, "import"), file, questions)
    if connector.resumed:
        say(f"The import of '{file}' that was cut off was continued.", err=True)
    if connector.repeated and imported.rows:
        say(
            f"'{file}' was imported before: what the lake has already is not stored again.",
            err=True,
        )  # fmt: skip
    for reason in (*imported.reasons, *questions.sentences()):
        say(f"! {reason}", err=True)
    if not imported.rows and not connector.resumed:
        raise _nothing_imported(file, imported)
    say(_result(runner.folders, imported, say))
    return imported.rows


def _result(folders: Folders, imported: Imported, say: Callable[..., Any]) -> str:
    """What became of the rows, as far as the writer has got."""
    rows = f"{imported.rows:,} row{'' if imported.rows == 1 else 's'}"
    outcome = import_outcome(folders, imported.run_ids)
    if outcome is None:
        return f"{rows} in the inbox, for the writer to commit."
    refused = max(imported.refused, outcome.refused)
    if refused > imported.refused:
        for reason in sorted(set(outcome.reasons) - set(imported.reasons)):
            say(f"! {reason}", err=True)
    return (
        f"{rows} read: {outcome.new:,} new or completed, {outcome.repeated:,} values repeated, "
        f"{refused:,} rows or values refused."
    )


def _run_to_end(
    runner: Runner, function: Function, file: Path, questions: UnitQuestions
) -> Imported:
    imported = Imported()
    with Progress(*COLUMNS, disable=not sys.stderr.isatty(), console=console(err=True)) as bar:
        task = bar.add_task(printable(file.name), total=count_rows(file))
        while True:
            run = runner.run(function, "command")
            runner.flush()
            if run.error is not None:
                raise NotImported(f"'{file}' after {imported.rows:,} rows: {run.error}")
            imported.add(run)
            questions.add(run.batch.rows["metrics"])
            bar.update(task, completed=imported.rows + imported.refused)
            if not run.batch.more:
                return imported
            _wait_for_writer(runner.folders)


def _nothing_imported(file: Path, imported: Imported) -> NotImported:
    if imported.refused:
        return NotImported(
            f"no row of '{file}' was taken; {imported.refused:,} rows or values were refused, for "
            "the reasons above",
            "correct the file, or name a source file with a mapping that fits by --like, and "
            "import it again: it is read from its start",
        )
    return NotImported(f"'{file}' has no record, or none that the mapping counts")


def _source(runner: Runner, like: str | Path | None, options: ImportOptions) -> SourceConfig:
    try:
        raw, rules = mapping_source(like, options), DeviceRules(runner.settings.devices)
        return source_from_dict(NAME, raw, runner.folders, runner.settings.schema(), rules)
    except SourceInvalid as error:
        unnamed = isinstance(error, ServerNotNamed)
        remedy = "name the server of the file with --server NAME" if unnamed else ""
        raise NotImported(f"{f'{like}: ' if like else ''}{error}", remedy) from error


def _wait_for_writer(folders: Folders) -> None:
    """Wait while there are many segments in the inbox and the writer commits them."""
    waiting = notify.pending_segments(folders.data)
    while waiting > MAX_WAITING:
        time.sleep(PATIENCE_S)
        left = notify.pending_segments(folders.data)
        if left >= waiting:  # no writer is running
            return
        waiting = left
