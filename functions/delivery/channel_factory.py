"""Channel factory: the channel of each kind of settings."""

from functions.delivery.channels.alertmanager import AlertmanagerChannel
from functions.delivery.channels.mail import MailChannel
from functions.delivery.channels.pagerduty import PagerdutyChannel
from functions.delivery.channels.slack import slack_channel
from functions.delivery.channels.webhook import WebhookChannel
from functions.delivery.dispatch import Channel
from storage.config.channel_settings import (
    AlertmanagerSettings,
    AppriseSettings,
    ChannelSettings,
    MailSettings,
    PagerdutySettings,
    SlackSettings,
    WebhookSettings,
)

__all__ = ["open_channel"]


def open_channel(name: str, settings: ChannelSettings) -> Channel:
    """Return the channel `name`; it connects when it sends. Raises ChannelUnusable."""
    match settings:
        case PagerdutySettings():
            return PagerdutyChannel(name, settings)
        case SlackSettings():
            return slack_channel(name, settings)
        case AlertmanagerSettings():
            return AlertmanagerChannel(name, settings)
        case WebhookSettings():
            return WebhookChannel(name, settings)
        case MailSettings():
            return MailChannel(name, settings)
        case AppriseSettings():
            # It takes 0.2 s to import, and few use it.
            from functions.delivery.channels.apprise_channel import AppriseChannel

            return AppriseChannel(name, settings)
    raise TypeError(f"no channel for {type(settings).__name__}")
