"""Sessions: how long they last, that they survive a restart, and how many there are."""

from datetime import timedelta

import pytest

from storage.config.folders import Folders
from tests.conftest import NOW
from web.sessions import MAX_OF_ONE, Sessions

HOUR = timedelta(hours=1)


@pytest.fixture
def folders(tmp_path) -> Folders:
    return Folders.at(tmp_path)


def opened(folders: Folders) -> Sessions:
    return Sessions(folders, idle=HOUR, longest=3 * HOUR)


def begin(sessions: Sessions, name="ann", now=NOW, address="10.0.0.1") -> str:
    return sessions.start("user", name, "v1", "", address, now)


def test_a_session_is_found_by_its_token_of_which_only_the_hash_is_kept(folders) -> None:
    sessions = opened(folders)
    token = begin(sessions)
    assert sessions.find(token, NOW).name == "ann"
    for wrong in ("", token[:-1], token.swapcase(), "\ud800"):
        assert sessions.find(wrong, NOW) is None
    sessions.save()
    assert token not in folders.sessions.read_text()
    assert folders.sessions.stat().st_mode & 0o777 == 0o600


def test_a_session_ends_when_it_is_idle_and_at_the_latest_after_its_limit(folders) -> None:
    sessions = opened(folders)
    token = begin(sessions)
    for step in range(1, 6):  # every half hour
        assert sessions.find(token, NOW + step * HOUR / 2) is not None
    assert sessions.find(token, NOW + 3 * HOUR) is None
    idle = begin(sessions)
    assert sessions.find(idle, NOW + HOUR) is None


def test_a_restart_logs_nobody_out_and_a_logout_stays(folders) -> None:
    before = opened(folders)
    stays, ends = begin(before), begin(before, "bob")
    assert before.end(ends).name == "bob"
    assert before.end(ends) is None
    before.save()
    after = opened(folders)
    assert after.find(stays, NOW).name == "ann"
    assert after.find(ends, NOW) is None
    assert after.addresses("ann") == {"10.0.0.1"}


def test_one_account_has_so_many_sessions_and_the_least_used_ends(folders) -> None:
    sessions = opened(folders)
    tokens = [begin(sessions, now=NOW + timedelta(seconds=n)) for n in range(MAX_OF_ONE + 1)]
    other = begin(sessions, "bob")
    now = NOW + timedelta(minutes=5)
    assert sessions.find(tokens[0], now) is None
    assert all(sessions.find(token, now) for token in [*tokens[1:], other])


@pytest.mark.parametrize("content", ["{", "", "[{}]", "null"])
def test_a_damaged_file_logs_everybody_out_and_says_so(folders, caplog, content) -> None:
    folders.sessions.write_text(content)
    sessions = opened(folders)
    assert sessions.find("x", NOW) is None
    assert "sessions.json is damaged, everybody is logged out" in caplog.text
    assert sessions.find(begin(sessions), NOW) is not None
