import pytest

from functions.delivery.channel_factory import open_channel
from functions.delivery.channels.alertmanager import AlertmanagerChannel
from functions.delivery.channels.mail import MailChannel
from functions.delivery.channels.slack import SlackBotChannel, SlackWebhookChannel
from functions.delivery.dispatch import ChannelUnusable
from storage.config.channel_settings import (
    AlertmanagerSettings,
    Channel,
    MailSettings,
    SlackSettings,
    WebhookSettings,
)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (AlertmanagerSettings(url="http://am"), AlertmanagerChannel),
        (MailSettings(host="h", sender="a@b.c", to=["d@e.f"]), MailChannel),
        (SlackSettings(channel="C0123456789", token_env="SECRET"), SlackBotChannel),  # noqa: S106 - the name of a variable
        (SlackSettings(webhook_env="SECRET"), SlackWebhookChannel),
    ],
)
def test_each_kind_of_settings_has_its_channel(
    settings: Channel, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "https://hooks.example/s")
    channel = open_channel("x", settings)
    channel.close()
    assert isinstance(channel, kind)


def test_a_channel_without_its_secret_cannot_be_opened() -> None:
    settings = WebhookSettings(url="https://h.example", secret_env="NOT_SET")  # noqa: S106 - the name of a variable
    with pytest.raises(ChannelUnusable, match=r"channels\.hook\.secret_env names the variable"):
        open_channel("hook", settings)
