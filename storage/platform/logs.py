"""Logging: one line for each record, text or JSON, with time, level, process and run id."""

import argparse
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol

from storage.errors import HoursightError
from storage.platform.printable import CONTINUED, printable, printable_json
from storage.platform.repeated_lines import RepeatLimit

__all__ = [
    "FORMATS", "FORMAT_VARIABLE", "LEVEL_VARIABLE", "PROCESS_VARIABLE", "JsonFormatter",
    "LogOptionInvalid", "LogOptions", "LogStream", "TextFormatter", "add_options", "as_json",
    "check_format", "check_level", "configure", "current_run", "during_run", "environment",
    "is_log_line", "is_routine", "writes_json",
]  # fmt: skip

LEVEL_VARIABLE, FORMAT_VARIABLE = "HOURSIGHT_LOG_LEVEL", "HOURSIGHT_LOG_FORMAT"
PROCESS_VARIABLE = "HOURSIGHT_PROCESS"
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
LEVELS["error"] = logging.ERROR
FORMATS = ("text", "json")
MAX_MESSAGE_CHARS = 8_000
MAX_TRACEBACK_CHARS = 16_000
RUN_CHARS = 8

# These libraries log each byte at debug, and each request with its full URL at info. They stay at
# warning unless a level is set for them by name.
_CHATTY = (
    "asyncio", "elastic_transport", "elasticsearch", "httpcore", "httpx", "pymongo", "urllib3",
    "watchfiles",
)  # fmt: skip
_SECRETS = (
    (re.compile(r"\b(hs_[0-9a-f]{12}_)[A-Za-z0-9_-]{43}"), r"\1***"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s]*@"), r"\1***@"),
    (
        re.compile(
            r"\b(\w*(?:password|passwd|secret|token|api_?key)=)('[^']*'|\"[^\"]*\"|[^\s&,;'\"]+)",
            re.IGNORECASE,
        ),
        r"\1***",
    ),
    (
        re.compile(
            r"\b((?:authorization|x-api-key)['\"]?\s*[:=]\s*['\"]?(?:(?:bearer|basic|token|apikey)"
            r"\s+)?)[^\s'\",]+",
            re.IGNORECASE,
        ),
        r"\1***",
    ),
)
_LINE = re.compile(
    r'(?:\d{4}-\d\d-\d\dT[\d:.]+Z |\{"ts":"[^"]+","level":")(?P<level>[A-Z]+)(?: |")'
)

log = logging.getLogger(__name__)
_run: ContextVar[str | None] = ContextVar("run", default=None)


class LogOptionInvalid(HoursightError, ValueError):
    """A log level or format is not valid; the message says what is expected."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Logging options of a process: its name in the log, its levels and its format."""

    process: str
    level: str = "info"
    form: str = "text"


# Python's logging is global, and so are its options.
_options: LogOptions | None = None


def configure(
    process: str,
    level: str | None = None,
    form: str | None = None,
    stream: "LogStream | None" = None,
) -> LogOptions:
    """Send all log records of this process through one handler to `stream` (default: stderr).

    Without `level` or `form` the environment decides: HOURSIGHT_LOG_LEVEL (default info) and
    HOURSIGHT_LOG_FORMAT (default text). `level` may name loggers: `info,storage.lake.writer=debug`.
    Raises LogOptionInvalid.
    """
    global _options
    level = check_level(level or os.environ.get(LEVEL_VARIABLE) or "info")
    form = check_format(form or os.environ.get(FORMAT_VARIABLE) or "text")
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _Handler)]:
        root.removeHandler(handler)
    handler = _Handler(stream)
    handler.setFormatter(JsonFormatter(process) if form == "json" else TextFormatter(process))
    root.addHandler(handler)
    _set_levels(root, level)
    logging.captureWarnings(True)
    _log_uncaught()
    _options = LogOptions(process, level, form)
    return _options


def _log_uncaught() -> None:
    """Log what ends this process or a thread: Python prints the text of an exception as it is."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _uncaught_in_thread


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.critical("ended by an error", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread else "a thread"
        trace = (args.exc_type, args.exc_value, args.exc_traceback)
        log.critical("%s ended by an error", name, exc_info=trace)


def _set_levels(root: logging.Logger, text: str) -> None:
    everywhere, by_logger = _levels(text)
    root.setLevel(everywhere)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(everywhere, logging.WARNING))
    for name, level in by_logger.items():
        logging.getLogger(name).setLevel(level)


def check_level(text: str) -> str:
    """Return `text` if it is a level, or levels by logger. Raises LogOptionInvalid."""
    _levels(text)
    return text


def check_format(text: str) -> str:
    """Return `text` if it is one of FORMATS. Raises LogOptionInvalid."""
    if text not in FORMATS:
        raise LogOptionInvalid(f"{text!r} is not a log format (expected {' or '.join(FORMATS)})")
    return text


def _levels(text: str) -> tuple[int, dict[str, int]]:
    """The default level, and the levels of named loggers."""
    everywhere, by_logger = logging.INFO, {}
    for part in text.split(","):
        name, equals, level = part.strip().rpartition("=")
        if level.lower() not in LEVELS or (equals and not name):
            raise LogOptionInvalid(
                f"{part.strip()!r} is not a log level (expected {', '.join(LEVELS)}, or with a "
                "logger as in 'info,storage.lake.writer=debug')"
            )
        if name:
            by_logger[name] = LEVELS[level.lower()]
        else:
            everywhere = LEVELS[level.lower()]
    return everywhere, by_logger


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add `--log-level` and `--log-format`, whose defaults come from the environment."""
    parser.add_argument(
        "--log-level", type=_argument(check_level), metavar="LEVEL",
        default=os.environ.get(LEVEL_VARIABLE) or "info",
        help="debug, info, warning or error, also by logger: info,storage.lake.writer=debug "
        f"(default: ${LEVEL_VARIABLE}, else info)",
    )  # fmt: skip
    parser.add_argument(
        "--log-format", type=_argument(check_format), metavar="FORMAT",
        default=os.environ.get(FORMAT_VARIABLE) or "text",
        help=f"text or json (default: ${FORMAT_VARIABLE}, else text)",
    )  # fmt: skip


def _argument(check: Callable[[str], str]) -> Callable[[str], str]:
    """`check` for argparse, which prints the message of an ArgumentTypeError only."""

    def checked(text: str) -> str:
        try:
            return check(text)
        except LogOptionInvalid as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def environment() -> dict[str, str]:
    """Variables that make a child process log as this one does; warnings only by default."""
    if _options is None:  # called by a user's own program
        return {LEVEL_VARIABLE: os.environ.get(LEVEL_VARIABLE) or "warning"}
    return {
        PROCESS_VARIABLE: _options.process, LEVEL_VARIABLE: _options.level,
        FORMAT_VARIABLE: _options.form,
    }  # fmt: skip


def writes_json() -> bool:
    """Return True if this process logs as JSON."""
    return _options is not None and _options.form == "json"


def current_run() -> str | None:
    """The id of the function run in this thread; None outside of a run."""
    return _run.get()


@contextmanager
def during_run(run_id: str | None) -> Iterator[None]:
    """Context: log records of this thread have `run_id`."""
    before = _run.set(run_id)
    try:
        yield
    finally:
        _run.reset(before)


def as_json(process: str, message: str, level: str) -> str:
    """A line of other output, such as what a process printed, as a JSON log line."""
    now = datetime.now(UTC)
    fields = {
        "ts": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z", "level": level,
        "process": process, "message": _cut(_without_secrets(message)),
    }  # fmt: skip
    return _json(fields)


def is_log_line(line: str) -> bool:
    """Return True if a formatter of this module wrote the line."""
    return line.startswith(CONTINUED) or _LINE.match(line) is not None


def is_routine(line: str, before: bool = False) -> bool:
    """Return True for a line of level info or debug; a traceback's line counts as `before`."""
    if line.startswith(CONTINUED):
        return before
    match = _LINE.match(line)
    return match is not None and match["level"] in ("DEBUG", "INFO")


class TextFormatter(logging.Formatter):
    """`2026-05-06T12:00:00.123Z INFO writer storage.lake.writer [run 1f2e3d4c] 20 metrics`.

    A record is one line; the lines of a traceback follow, each indented.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        run = current_run()
        marked = f"[run {run[:RUN_CHARS]}] " if run else ""
        head = f"{_time(record)} {record.levelname} {self._process} {record.name} {marked}"
        trace = [CONTINUED + printable(line) for line in _traceback(record).splitlines()]
        return "\n".join([head + printable(_message(record)), *trace])


class JsonFormatter(logging.Formatter):
    """One JSON object for each record: ts, level, process, logger, run_id, message, traceback."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON; absent fields are left out."""
        fields = {
            "ts": _time(record), "level": record.levelname, "process": self._process,
            "logger": record.name, "run_id": current_run(), "message": _message(record),
            "traceback": _traceback(record) or None,
        }  # fmt: skip
        return _json({name: value for name, value in fields.items() if value is not None})


def _json(fields: Mapping[str, str]) -> str:
    return printable_json(json.dumps(fields, ensure_ascii=False, separators=(",", ":")))


class LogStream(Protocol):
    """What log records are written to."""

    def write(self, text: str, /) -> int:
        """Write a record, which ends with a line feed."""

    def flush(self) -> None:
        """Hand on what was written."""


class _Handler(logging.StreamHandler[LogStream]):
    """Writes to a given stream, or to whatever stderr is at that time."""

    def __init__(self, stream: LogStream | None) -> None:
        logging.Handler.__init__(self)
        self._stream = stream
        self._limit = RepeatLimit(self)
        self.addFilter(self._limit)

    def close(self) -> None:
        """Say how many repeated lines were left out."""
        self._limit.report()
        super().close()

    @property
    def stream(self) -> LogStream:  # type: ignore[override]
        """The stream that it writes to."""
        return self._stream or sys.stderr


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z"


def _message(record: logging.LogRecord) -> str:
    return _cut(_without_secrets(record.getMessage()))


def _cut(text: str) -> str:
    if len(text) <= MAX_MESSAGE_CHARS:
        return text
    return f"{text[:MAX_MESSAGE_CHARS]}… ({len(text) - MAX_MESSAGE_CHARS} more characters)"


def _traceback(record: logging.LogRecord) -> str:
    """The traceback; of a long one its end, which names the error."""
    parts = [record.stack_info] if record.stack_info else []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append(logging.Formatter().formatException(record.exc_info))
    return _without_secrets("\n".join(parts))[-MAX_TRACEBACK_CHARS:]


def _without_secrets(text: str) -> str:
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text
