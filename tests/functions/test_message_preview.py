from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.engine.function import Batch
from functions.engine.window import Window
from functions.message_preview import message_preview
from storage.query.memory_lake import MemoryLake
from tests.conftest import NOW
from tests.functions.delivery.memory_lakes import memory_lake, put
from tests.functions.test_deliver import SETTINGS, event


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryLake]:
    monkeypatch.setenv("HOOK_SECRET", "whsec-hidden")
    (tmp_path / "hoursight.toml").write_text(SETTINGS)
    with memory_lake(tmp_path) as lake:
        put(lake, "alert_events", [event()])
        yield lake


def previewed(lake: MemoryLake, body: Any) -> Batch:
    batch: Batch = message_preview.call(window=Window(lake.reader, NOW), body=body)
    return batch


def test_the_bytes_are_answered_with_secrets_masked(lake: MemoryLake) -> None:
    text = previewed(lake, {"episode": "e1", "channel": "hook"}).answer["text"]
    assert text.startswith("POST / HTTP/1.1\r\nHost: hook.example")
    assert "Hoursight-Signature" in text
    assert "whsec-hidden" not in text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"episode": "e1", "channel": "x"}, "no channel 'x'; there are: hook"),
        ({"episode": "gone", "channel": "hook"}, "there is no episode 'gone'"),
        ({"channel": "hook"}, "episode is missing"),
        (None, "episode is missing"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(lake: MemoryLake, body: Any, reason: str) -> None:
    batch = previewed(lake, body)
    assert reason in batch.reasons[0]
    assert batch.answer is None


def test_a_channel_without_its_secret_says_so(
    lake: MemoryLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOK_SECRET")
    batch = previewed(lake, {"episode": "e1", "channel": "hook"})
    assert "HOOK_SECRET" in batch.reasons[0]
