"""Queries in the site: limits and errors."""

from pathlib import Path

import anyio
import pytest
from litestar.datastructures import State

from storage.config.folders import Folders
from storage.sandbox.frames import Failure, QueryRequest
from storage.sandbox.sandbox_pool import SandboxPool
from storage.sandbox.sandbox_process import SandboxFailed, SandboxUnavailable
from web.http_errors import HttpRejection
from web.query_runner import FILE_ROWS, QueryRunner, failure_text, rows_for_program


@pytest.mark.parametrize(
    ("at", "place"), [(None, ""), (0, "line 1, character 1: "), (9, "line 2, character 1: ")]
)
def test_an_error_begins_with_its_place(at: int | None, place: str) -> None:
    failed = SandboxFailed(Failure("failed", "no such column", at=at))
    assert failure_text("SELECT 1\nnope", failed) == f"{place}no such column"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SandboxFailed(Failure("deadline", "too long", "shorten")), 504),
        (SandboxFailed(Failure("size", "too large", "shorten")), 413),
        (SandboxFailed(Failure("memory", "too much")), 422),
        (SandboxUnavailable("no Landlock", "use hoursight sql"), 501),
    ],
)
def test_a_program_gets_a_status_for_each_failure(
    error: Exception, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_pool: SandboxPool, request: QueryRequest) -> None:
        assert request.max_rows == FILE_ROWS
        raise error

    monkeypatch.setattr(SandboxPool, "run", fail)
    state = State({"queries": QueryRunner(Folders.at(tmp_path))})
    with pytest.raises(HttpRejection) as caught:
        anyio.run(rows_for_program, state, "SELECT 1")
    assert caught.value.status_code == status
    assert caught.value.remedy
