"""What a log line looks like, and which lines there are."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest

from storage.platform import logs

RUN = "1f2e3d4c5b6a79881f2e3d4c5b6a7988"
KEY = "hs_0123456789ab_" + "k" * 43
log = logging.getLogger("storage.somewhere")

Lines = Callable[[], list[str]]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log of a test goes; afterwards logging is as it was."""
    root, options = logging.getLogger(), logs._options
    level, handlers = root.level, list(root.handlers)
    yield io.StringIO()
    root.setLevel(level)
    root.handlers[:] = handlers
    logs._options = options
    logging.getLogger("storage.somewhere").setLevel(logging.NOTSET)
    logging.captureWarnings(False)


def test_a_text_line_has_time_level_process_logger_run_and_message(stream: io.StringIO) -> None:
    logs.configure("writer", "info", "text", stream)
    with logs.during_run(RUN):
        log.info("committed %d rows", 3)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO writer storage\.somewhere "
        r"\[run 1f2e3d4c\] committed 3 rows\n",
        stream.getvalue(),
    )


def test_a_json_line_has_the_same_in_fields(stream: io.StringIO) -> None:
    logs.configure("writer", "info", "json", stream)
    with logs.during_run(RUN):
        log.warning("committed %d rows", 3)
    fields = json.loads(stream.getvalue())
    assert fields.pop("ts").endswith("Z")
    assert fields == {
        "level": "WARNING", "process": "writer", "logger": "storage.somewhere", "run_id": RUN,
        "message": "committed 3 rows",
    }  # fmt: skip


def test_outside_of_a_run_a_line_has_no_run_id(stream: io.StringIO) -> None:
    logs.configure("writer", "info", "json", stream)
    with logs.during_run(RUN):
        pass
    log.info("idle")
    assert "run_id" not in json.loads(stream.getvalue())


@pytest.mark.parametrize("form", logs.FORMATS)
def test_a_message_with_line_breaks_is_one_line(stream: io.StringIO, form: str) -> None:
    logs.configure("writer", "info", form, stream)
    log.info("first\nsecond\r\x1b[31m\u2028third\u202e")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()
    assert "\u202e" not in stream.getvalue()


def test_a_traceback_is_indented_in_text_and_a_field_in_json(stream: io.StringIO) -> None:
    for form in logs.FORMATS:
        logs.configure("writer", "info", form, stream)
        try:
            raise ValueError("wrong\nin two lines")
        except ValueError:
            log.exception("failed")
    *text, as_json = stream.getvalue().splitlines()
    assert text[0].endswith("failed")
    assert all(line.startswith("    | ") for line in text[1:])
    assert "    | ValueError: wrong" in text
    assert "ValueError: wrong\nin two lines" in json.loads(as_json)["traceback"]


def test_a_long_message_is_cut(stream: io.StringIO) -> None:
    logs.configure("writer", "info", "text", stream)
    log.info("x" * 100_000)
    assert len(stream.getvalue()) < 8_200
    assert "… (92000 more characters)" in stream.getvalue()


@pytest.mark.parametrize(
    "message",
    [
        f"refused {KEY}", "mongodb://reader:sesame@db:27017/fleet cannot be reached",
        "GET https://reader:sesame@es/_search", "dbname=hoursight password='sesame' host=db",
        "POST /write?u=telegraf&api_key=sesame&db=x", "headers {'Authorization': 'Bearer sesame'}",
        "X-API-Key: sesame",
    ],
)  # fmt: skip
def test_no_line_holds_a_secret(stream: io.StringIO, message: str) -> None:
    logs.configure("writer", "info", "text", stream)
    log.info("%s", message)
    assert "sesame" not in stream.getvalue()
    assert "k" * 43 not in stream.getvalue()
    assert "***" in stream.getvalue()


def test_a_level_may_be_set_by_logger(stream: io.StringIO) -> None:
    logs.configure("writer", "warning,storage.somewhere=debug", "text", stream)
    log.debug("shown")
    logging.getLogger("storage.elsewhere").info("hidden")
    assert stream.getvalue().endswith("storage.somewhere shown\n")


def test_chatty_libraries_stay_at_warning(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    # uvicorn's own configuration, which a test's server may have set, would keep its records.
    monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)
    logs.configure("writer", "debug", "text", stream)
    logging.getLogger("httpx").info("GET https://example/?q=all")
    logging.getLogger("uvicorn.error").info("started")
    assert stream.getvalue().endswith("uvicorn.error started\n")
    assert "httpx" not in stream.getvalue()


@pytest.mark.parametrize("text", ["loud", "info,=debug", "storage=loud", ""])
def test_a_wrong_level_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(logs.LogOptionInvalid, match="expected debug, info, warning, error"):
        logs.check_level(text)


@pytest.mark.parametrize("form", logs.FORMATS)
def test_routine_lines_are_known_in_both_formats(stream: io.StringIO, form: str) -> None:
    logs.configure("writer", "debug", form, stream)
    for say in (log.debug, log.info, log.warning, log.error):
        say("a line")
    lines = stream.getvalue().splitlines()
    assert [logs.is_routine(line) for line in lines] == [True, True, False, False]
    assert all(map(logs.is_log_line, lines))


def test_the_lines_of_a_traceback_go_with_their_record() -> None:
    assert logs.is_routine("    | ValueError: wrong", before=True)
    assert not logs.is_routine("    | ValueError: wrong", before=False)
    assert not logs.is_routine("printed by somebody")
