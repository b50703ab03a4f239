"""`hoursight sources`: the list, a test of one file that writes nothing, a new one."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from functions.connectors.connector import Page, Unreachable
from functions.connectors.source_file import SourceConfig, read_source
from functions.normalize.columns import first_document
from functions.normalize.devices import DeviceRules
from functions.normalize.explain import explain
from functions.normalize.grouping import DocumentGrouping
from functions.normalize.mapper import Mapped, Mapper
from functions.normalize.unit_questions import UnitQuestions
from scripts.cli import printer
from scripts.cli.output import format_time, print_grid
from storage.config.folders import Folders
from storage.config.settings import read_settings
from storage.errors import HoursightError
from storage.query.reader import Reader
from web.display.source_status import SourceStatus, read_sources

__all__ = ["list_sources", "template", "try_source"]

TEMPLATES = Path(__file__).parents[2] / "functions" / "connectors" / "templates"
Say = Callable[..., Any]


class NoTemplate(HoursightError):
    """There is no template of that kind."""


class CannotTry(HoursightError):
    """A source that cannot be tested; the message says why."""


def template(kind: str) -> str:
    """A commented source file."""
    path = TEMPLATES / f"{kind}.toml"
    if not path.exists():
        known = ", ".join(sorted(each.stem for each in TEMPLATES.glob("*.toml")))
        raise NoTemplate(f"no template for {kind!r}: there are {known}")
    return path.read_text()


def list_sources(data: Path) -> None:
    """Each source with its last sample, lag, rate, and what is wrong, in words."""
    now = datetime.now(UTC)
    with closing(Reader.open(data)) as reader:
        rows = [_row(each) for each in read_sources(reader, now)]
    if not rows:
        printer.say("No source has brought anything yet: 'hoursight sources new files' shows how.")
        return
    columns = ["source", "kind", "last sample", "lag", "rows/min", "rows 24 h"]
    print_grid([*columns, "refused 24 h", "clamped 24 h", "repeated 24 h", "state"], rows)


def _row(each: SourceStatus) -> list[Any]:
    lag = "" if each.lag_seconds is None else f"{each.lag_seconds:.0f} s"
    gaps = [gap.sentence(each.now) for gap in each.gaps]
    return [
        each.source, each.kind, each.last_sample, lag, round(each.rows_per_min), each.rows_24h,
        each.refused_24h, each.clamped_24h, each.repeated_24h, "; ".join([each.summary, *gaps]),
    ]  # fmt: skip


def try_source(data: Path, file: Path, say: Say, *, once: bool, verbose: bool) -> bool:
    """Fetch one page (or page after page until there is no more) and tell; writes nothing.

    Whether it went well: something was found, and a row could be made of it.
    """
    folders, settings = Folders.at(data), read_settings(data)
    schema = settings.schema()
    try:
        rules = DeviceRules(settings.devices)
        source = read_source(file.stem, file.read_bytes(), folders, schema, rules)
    except ValueError as error:
        raise CannotTry(f"{file}: {error}") from error
    mapper = Mapper(
        source.mapping, source.name, source.file.site, schema.metrics, rules=source.options.rules
    )
    questions, well = UnitQuestions(source.mapping, schema.metrics), False
    try:
        for page in _pages(source, 1 if once else None):
            within = source.options.limits.at(datetime.now(UTC))
            mapped = mapper.map(page.documents, within)
            questions.add(mapped.rows)
            well |= _tell(source, page, mapped, say, verbose, schema.metrics)
    except Unreachable as error:
        raise CannotTry(f"{source.name} does not answer: {error}") from error
    for question in questions.sentences():
        say(f"! {question}")
    if not well:
        say("Nothing that could become a sample was found.")
    return well


def _pages(source: SourceConfig, count: int | None) -> Iterator[Page]:
    connector = source.adapter.connect(source.connection, replace(source.options, dry=True))
    try:
        pages = connector.pages(None, datetime.now(UTC))
        left = count
        for page in pages:
            if page.documents or page.notes:
                yield page
            if left is not None and page.documents:  # a page of notes alone is not the one
                left -= 1
                if not left:
                    return
    finally:
        connector.close()


def _tell(
    source: SourceConfig, page: Page, mapped: Mapped, say: Say, verbose: bool, metrics: Any
) -> bool:
    rows = mapped.rows
    if source.mapping.gather:
        gathering = DocumentGrouping(source.mapping)
        gathering.add(rows)
        rows = gathering.take_all() or rows
    counts = (
        f"{len(page.documents)} documents, {rows.num_rows} rows, {mapped.rejects.count} refused"
    )
    clamped = mapped.rejects.clamped
    if page.documents or page.refused:
        say(f"{counts}, {clamped} clamped" if clamped else counts)
    if rows.num_rows:
        say(_found(source, rows))
    if page.documents:
        _show_fields(source, page.documents, mapped, metrics)
    if verbose and page.documents:
        say(f"The first document: {first_document(page.documents)}")
    for note in (*page.notes, *mapped.notes, *mapped.rejects.sentences()):
        say(f"! {note}")
    return bool(rows.num_rows)


def _found(source: SourceConfig, rows: pa.Table) -> str:
    """What there is in one line: servers, times, and how many metrics of those in the mapping."""
    wanted = list(source.mapping.entries)
    there = set(rows.column_names)
    lacking = [n for n in wanted if n not in there or rows[n].null_count == rows.num_rows]
    servers, span = pc.count_distinct(rows["server"]).as_py(), pc.min_max(rows["ts"]).as_py()
    reported = (
        f"{servers} servers, from {format_time(span['min'])} to {format_time(span['max'])}; "
        f"{len(wanted) - len(lacking)} of {len(wanted)} metrics"
    )
    return f"{reported}, not {', '.join(lacking)}" if lacking else reported


def _show_fields(source: SourceConfig, documents: Any, mapped: Mapped, metrics: Any) -> None:
    lines = explain(source.mapping, documents[:200], mapped, metrics)
    rows = [
        [line.target, line.field, _brief(line.raw), line.unit, line.value, line.became]
        for line in lines
    ]
    print_grid(["metric", "source field", "holds", "as", "value", "unit"], rows)


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    text = (
        format_time(value) if isinstance(value, datetime) else str("" if value is None else value)
    )
    return text if len(text) <= 40 else text[:39] + "…"
