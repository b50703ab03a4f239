"""The audit trail: what is sent to the engine, what waits for it, and what is counted."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.config.folders import Folders
from storage.ipc.rpc import serve_rpc
from tests.conftest import NOW
from tests.web.api.test_functions_api import Engine
from web.audit_trail import MAX_FAILED, MAX_TEXT, MAX_WAITING, AuditTrail, Entry

FAILED = Entry(NOW, "ann", "login", "refused", reason="wrong")


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


def sent(folders: Folders, note: Callable[[AuditTrail], None]) -> list[dict[str, Any]]:
    """What the engine gets of a trail that ends after `note`."""
    engine, trail = Engine(), AuditTrail(folders)

    async def run() -> None:
        async with trail.sending(None):
            note(trail)

    with serve_rpc(folders.rpc_socket, engine):
        asyncio.run(run())
    return engine.audit


def test_an_entry_is_sent_with_an_id_and_without_what_it_lacks(folders: Folders) -> None:
    (row,) = sent(folders, lambda trail: trail.note(Entry(NOW, "ann", "login", role="viewer")))
    assert len(row.pop("entry")) == 32
    assert row == {
        "ts": "2026-05-06T12:00:30Z", "actor": "ann", "action": "login", "outcome": "done",
        "role": "viewer",
    }  # fmt: skip


def test_a_long_text_is_cut(folders: Folders) -> None:
    (row,) = sent(folders, lambda t: t.note(Entry(NOW, "a" * 999, "login", detail="b" * 999)))
    assert (len(row["actor"]), len(row["detail"])) == (MAX_TEXT, MAX_TEXT)


def test_failed_logins_beyond_the_limit_are_counted(folders: Folders) -> None:
    def note(trail: AuditTrail) -> None:
        for _ in range(MAX_FAILED + 7):
            trail.note_failed_login(FAILED)
        trail.note_failed_login(Entry(NOW + timedelta(minutes=1), "bob", "login", "refused"))

    rows = sent(folders, note)
    assert len(rows) == MAX_FAILED + 1
    assert rows[-1]["detail"].startswith("7 more failed logins in the minute from 2026-05-06")


def test_entries_beyond_the_limit_are_counted_in_one(folders: Folders) -> None:
    def note(trail: AuditTrail) -> None:
        for _ in range(MAX_WAITING + 5):
            trail.note(FAILED)

    rows = sent(folders, note)
    assert len(rows) == MAX_WAITING + 1
    (lost,) = [row for row in rows if row["action"] == "entries lost"]
    assert lost["detail"] == "5 entries were not recorded: too many waited for the engine"


def test_what_no_engine_took_is_said_at_the_end(folders: Folders, caplog) -> None:
    async def run() -> None:
        async with (trail := AuditTrail(folders)).sending(None):
            trail.note(FAILED)

    asyncio.run(run())
    assert "1 entries of the audit are lost: the engine took none" in caplog.text
