from pathlib import Path

import pytest

from storage.config.channel_settings import CHANNEL_KINDS, MailSettings
from storage.config.settings import Settings, SettingsError, read_settings, write_settings

PAGER = "[channels.night]\nkind = 'pagerduty'\n"
MAIL = "[channels.m]\nkind = 'mail'\nhost = 'h'\nfrom = 'a@b.c'\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[channels.night]\nkind = 'pager'",
         "channels.night.kind is 'pager', expected one of pagerduty, slack, alertmanager"),
        ("[channels.night]\n", "channels.night.kind is missing, expected one of pagerduty"),
        ("[channels.night]\nkind = 'webhook'\n", "channels.night.url is missing, expected a value"),
        (PAGER, "channels.night: routing_key_env and routing_key_file are missing, expected one"),
        (f"{PAGER}routing_key = 'pst'", "unknown field `routing_key` in [channels.night]"),
        (f"{PAGER}routing_key_env = 'A'\nrouting_key_file = 'B'",
         "channels.night: has both routing_key_env and routing_key_file: leave one of them out"),
        (f"{PAGER}routing_key_env = 3", "channels.night.routing_key_env is 3, expected `str`"),
        ("[channels.ok]\nkind = 'apprise'\nurl_env = 'A'\n[channels.s]\nkind = 'slack'",
         "channels.s: has a token and a webhook, or neither"),
        ("[channels.s]\nkind = 'slack'\ntoken_env = 'A'\nchannel = '#ops'",
         "channels.s: channel is '#ops', expected the channel's ID such as 'C0123456789'"),
        ("[channels.h]\nkind = 'webhook'\nurl = 'hook'\nsecret_env = 'A'",
         "channels.h: url is 'hook', expected a URL such as"),
        ("[channels.h]\nkind = 'webhook'\nurl = 'https://u:pst@h/'\nsecret_env = 'A'",
         "channels.h: url contains a password, expected none"),
        ("[channels.a]\nkind = 'alertmanager'\nurl = 'http://am'\nevery = '1s'",
         "channels.a: every is '1s', expected 10s to 1h"),
        (f"{MAIL}to = ['ops']", "channels.m: to has 'ops', expected an address such as"),
        (f"{MAIL}to = []", "channels.m: to is [], expected at least one address"),
        (f"{MAIL}to = ['d@e.f']\nport = 0", "channels.m: port is 0, expected 1 to 65535"),
        (f"{MAIL}to = ['d@e.f']\ntls = 'none'\nuser = 'u'\npassword_env = 'A'",
         "channels.m: tls is 'none' with a user: the password would travel in plain text"),
        ("[channels.'a,b']\nkind = 'apprise'\nurl_env = 'A'", "channels has 'a,b', expected a"),
        ("[alerts]\npublic_url = 'example'", "alerts: public_url is 'example', expected a URL"),
        ("[heartbeat]\nevery = '1s'", "heartbeat: every is '1s', expected 10s to 1d"),
        ("[heartbeat]\nurl = 'https://h'\nurl_env = 'A'", "heartbeat: has url and url_env: leave"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_by_channel_key_value_and_expectation(
    tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "hoursight.toml").write_text(text)
    with pytest.raises(SettingsError) as error:
        read_settings(tmp_path)
    assert says in str(error.value)
    assert "pst" not in str(error.value)


def test_each_kind_says_whether_its_receiver_edits_and_keeps_state(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text(
        f"{PAGER}routing_key_env = 'A'\n{MAIL}to = ['d@e.f']\n"
        "[channels.bot]\nkind = 'slack'\nchannel = 'C0123456789'\ntoken_env = 'A'\n"
        "[channels.hook]\nkind = 'slack'\nwebhook_env = 'A'\n"
        "[channels.am]\nkind = 'alertmanager'\nurl = 'http://am:9093'\n"
        "[channels.w]\nkind = 'webhook'\nurl = 'https://w'\nsecret_env = 'A'\n"
        "[channels.x]\nkind = 'apprise'\nurl_env = 'A'\n"
    )
    channels = read_settings(tmp_path).channels
    assert {c.kind for c in channels.values()} == set(CHANNEL_KINDS)
    assert {name for name, c in channels.items() if c.edits} == {"bot", "am", "w"}
    assert {n for n, c in channels.items() if c.keeps_state} == {"night", "bot", "am", "w"}


def test_channels_that_are_written_are_read_back(tmp_path: Path) -> None:
    mail = MailSettings(host="h", sender="a@b.c", to=["d@e.f"], proxy="http://p:1")
    settings = Settings(channels={"m": mail})
    write_settings(tmp_path, settings)
    assert read_settings(tmp_path) == settings
