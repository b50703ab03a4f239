"""`hoursight alerts send`, from the command to the receiver."""

from pathlib import Path

import pytest

from tests.conftest import LakeFixture
from tests.functions.delivery.receiver import receiver
from tests.functions.test_deliver import SETTINGS, event
from tests.scripts.cli.two_servers import run


@pytest.fixture
def data(house: LakeFixture, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOOK_SECRET", "whsec-hidden")
    house.put("alert_events", [event(episode="3fd01234")])
    house.commit()
    return house.folders.data


def test_a_dry_run_prints_the_request_and_a_run_sends_it(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiver() as (server, url):
        (data / "hoursight.toml").write_text(SETTINGS.replace("https://hook.example", url))
        assert run("alerts", "send", "--dry-run", "3fd0", "hook", "--data", str(data)) == 0
        lines = capsys.readouterr().out.splitlines()
        assert server.requests == []
        assert run("alerts", "send", "3fd0", "hook", "--data", str(data)) == 0
    assert lines[0] == "POST / HTTP/1.1"
    assert any(line.startswith("Idempotency-Key: ") for line in lines)
    assert "whsec-hidden" not in "".join(lines)
    assert server.requests[0].json["delivery"] == "3fd01234/critical/hook"
    assert '"delivery":"3fd01234/critical/hook","action":"open"' in lines[-1]
    assert capsys.readouterr().out == "hook: sent\n"
