import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.delivery.channel_factory import open_channel
from functions.delivery.channels import http_sending
from functions.delivery.delivery_threads import ChannelWorker, DeliveryThreads
from functions.delivery.dispatch import ChannelUnusable, SendOutcome, SendResult
from functions.delivery.outbox import Outbox
from scripts.ports import free_port
from storage.config.channel_settings import Channel, PagerdutySettings, WebhookSettings
from storage.config.folders import Folders
from storage.config.settings import Settings
from tests.functions.delivery.events_api import EventsApi
from tests.functions.delivery.messages import NOW, event, message
from tests.functions.delivery.receiver import Receiver, Reply, receiver
from tests.functions.prometheus_server import until


class Clock:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    monkeypatch.setenv("PAGERDUTY_KEY", EventsApi.KEY)
    monkeypatch.setenv("HOOK_SECRET", "whsec")
    return Folders.at(tmp_path)


@pytest.fixture
def service() -> Iterator[tuple[EventsApi, Receiver, PagerdutySettings]]:
    api = EventsApi()
    with receiver(api.handle) as (server, url):
        yield api, server, PagerdutySettings(routing_key_env="PAGERDUTY_KEY", url=url)


def put(
    folders: Folders, known: dict[str, Channel], at: datetime | None = None, **fields: Any
) -> None:
    happened = event(**fields)
    with Outbox(folders) as outbox:
        made = message(phase=happened.phase, ts=happened.ts)
        outbox.enqueue(happened, known, lambda _: made, at or happened.ts)


def outcomes(folders: Folders) -> list[tuple[str, str, int | None]]:
    with Outbox(folders) as outbox:
        rows = outbox.outcomes_after(0)[0]
    return [(r["action"], r["outcome"], r["status"]) for r in rows if r["outcome"] != "queued"]


def test_a_receiver_that_fails_hangs_and_takes_it_twice_has_one_incident(
    folders: Folders, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_sending, "TIMEOUT_S", 1.0)
    api, server, settings = service
    server.script = [Reply(500), Reply(hang_s=5)]
    put(folders, {"oncall": settings})
    clock = Clock()
    worker = ChannelWorker(folders, "oncall", lambda: open_channel("oncall", settings), clock)
    channel = open_channel("oncall", settings)
    with Outbox(folders) as outbox:
        for _ in range(4):
            worker.send_next(outbox, channel)
            clock.now += timedelta(minutes=10)
    channel.close()
    assert [(what, status) for _, what, status in outcomes(folders)] == [
        ("failed", 500), ("failed", None), ("sent", 202),
    ]  # fmt: skip
    assert len(server.requests) == 3
    assert api.opened == ["e1/critical/oncall"]


def test_retry_after_holds_the_whole_channel(folders: Folders, service: Any) -> None:
    _, server, settings = service
    server.script = [Reply(429, headers={"Retry-After": "120"})]
    put(folders, {"oncall": settings})
    put(folders, {"oncall": settings}, severity="imminent", after=1)
    clock = Clock()
    clock.now += timedelta(minutes=1)
    channel = open_channel("oncall", settings)
    worker = ChannelWorker(folders, "oncall", lambda: channel, clock)
    with Outbox(folders) as outbox:
        assert worker.send_next(outbox, channel)
        clock.now += timedelta(seconds=119)
        assert not worker.send_next(outbox, channel)
        clock.now += timedelta(seconds=2)
        assert worker.send_next(outbox, channel)
    channel.close()
    assert len(server.requests) == 2


def test_a_dead_receiver_delays_no_other_channel(folders: Folders, service: Any) -> None:
    api, _, alive = service
    dead = WebhookSettings(url=f"http://127.0.0.1:{free_port()}", secret_env="HOOK_SECRET")  # noqa: S106
    channels: dict[str, Channel] = {"dead": dead, "oncall": alive}
    stop = threading.Event()
    put(folders, channels, datetime.now(UTC), channels="dead,oncall")
    threads = DeliveryThreads(folders, Settings(channels=channels), stop).start()
    until(lambda: ("open", "sent", 202) in outcomes(folders), "the living one has it")
    until(lambda: ("open", "failed", None) in outcomes(folders), "the dead one was tried")
    stop.set()
    threads.join(5)
    assert api.opened == ["e1/critical/oncall"]


def test_an_open_alert_is_sent_again_each_cycle_and_leaves_no_row(folders: Folders) -> None:
    taken: list[str] = []

    class Renewing:
        refresh_every = timedelta(minutes=1)
        refresh_pause = timedelta(seconds=2)

        def send(self, dispatch: Any, now: datetime) -> Any:
            taken.append(f"{dispatch.action} {now:%H:%M}")
            return SendResult(SendOutcome.SENT, status=200)

        def preview(self, _dispatch: Any, _now: datetime) -> str:
            return ""

        def close(self) -> None:
            pass

    settings = WebhookSettings(url="https://h.example", secret_env="HOOK_SECRET")  # noqa: S106
    put(folders, {"am": settings}, channels="am")
    clock, channel = Clock(), Renewing()
    worker = ChannelWorker(folders, "am", lambda: channel, clock)
    with Outbox(folders) as outbox:
        for _ in range(3):
            worker.send_next(outbox, channel)
            assert not worker.send_next(outbox, channel)
            clock.now += timedelta(minutes=1)
    assert taken == ["open 03:00", "update 03:01", "update 03:02"]
    assert outcomes(folders) == [("open", "sent", 200)]


def test_a_channel_without_its_secret_sends_nothing_and_says_so_once(
    folders: Folders, service: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()

    def without_secret() -> Any:
        raise ChannelUnusable("channels.oncall.routing_key_env is not set")

    put(folders, {"oncall": service[2]})
    worker = ChannelWorker(folders, "oncall", without_secret)
    thread = threading.Thread(target=worker.keep_sending, args=(stop,))
    thread.start()
    until(lambda: "sends nothing: channels.oncall" in caplog.text, "it is logged")
    stop.set()
    thread.join()
    assert outcomes(folders) == []
