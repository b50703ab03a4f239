"""Settings of deliveries: where messages of alerts are sent, their links, and the heartbeat."""

import re
from typing import Literal, get_args
from urllib.parse import urlsplit

import msgspec

from storage.model.periods import parse_period

__all__ = [
    "CHANNEL_KINDS",
    "AlertmanagerSettings",
    "AlertsSettings",
    "AppriseSettings",
    "Channel",
    "ChannelSettings",
    "HeartbeatSettings",
    "MailSettings",
    "PagerdutySettings",
    "SlackSettings",
    "WebhookSettings",
    "check_channel_names",
]  # fmt: skip

# A comma separates names in the lake.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+")
SLACK_CHANNEL = re.compile(r"[CGD][A-Z0-9]{5,}")


def check_channel_names(channels: dict[str, "Channel"]) -> None:
    """Raise ValueError if a channel has a name that cannot be used."""
    for name in channels:
        if not NAME.fullmatch(name):
            raise ValueError(
                f"channels has {name!r}, expected a name of up to 64 letters, digits, - and _, for "
                "example 'oncall'"
            )


class ChannelSettings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"
):
    """What all kinds of channels have: a proxy and a file of certificates, for HTTPS."""

    proxy: str = ""
    ca_file: str = ""

    @property
    def kind(self) -> str:
        """Its kind, such as pagerduty."""
        return str(self.__struct_config__.tag)

    @property
    def edits(self) -> bool:
        """True if the receiver replaces a message by its update, however many there are."""
        return False

    @property
    def keeps_state(self) -> bool:
        """True if the receiver keeps a message open until it is resolved."""
        return self.edits

    def _one_secret(self, key: str, required: bool = True) -> None:
        given = [f"{key}_{way}" for way in ("env", "file") if getattr(self, f"{key}_{way}")]
        if len(given) == 2:
            raise ValueError(f"has both {given[0]} and {given[1]}: leave one of them out")
        if required and not given:
            raise ValueError(
                f"{key}_env and {key}_file are missing, expected one of them: the variable of the "
                "environment, or the file, that holds the secret"
            )

    def _check_url(self, key: str) -> None:
        check_url(key, getattr(self, key))


def check_url(key: str, url: str) -> None:
    """Raise ValueError if this is not an http or https URL without a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{key} is {url!r}, expected a URL such as 'https://hooks.example/alerts'")
    if parts.password:  # the message must not show it
        raise ValueError(
            f"{key} contains a password, expected none: use password_env or password_file"
        )


class PagerdutySettings(ChannelSettings, frozen=True, tag="pagerduty"):
    """A service of PagerDuty (Events API v2) by its integration key."""

    routing_key_env: str = ""
    routing_key_file: str = ""
    url: str = "https://events.pagerduty.com/v2/enqueue"

    def __post_init__(self) -> None:
        self._one_secret("routing_key")
        self._check_url("url")

    @property
    def keeps_state(self) -> bool:
        """True: an incident is open until it is resolved."""
        return True


class SlackSettings(ChannelSettings, frozen=True, tag="slack"):
    """A channel of Slack: by a bot's token, which edits its message, or by an incoming webhook."""

    channel: str = ""
    token_env: str = ""
    token_file: str = ""
    webhook_env: str = ""
    webhook_file: str = ""
    url: str = "https://slack.com/api"

    def __post_init__(self) -> None:
        self._one_secret("token", required=False)
        self._one_secret("webhook", required=False)
        if self.has_bot == bool(self.webhook_env or self.webhook_file):
            raise ValueError(
                "has a token and a webhook, or neither, expected one of them: token_env or "
                "token_file of a bot, or webhook_env or webhook_file"
            )
        if self.has_bot and not SLACK_CHANNEL.fullmatch(self.channel):
            raise ValueError(
                f"channel is {self.channel!r}, expected the channel's ID such as 'C0123456789' "
                "(in Slack: channel details, at the end)"
            )
        self._check_url("url")

    @property
    def edits(self) -> bool:
        """True for a bot, which edits its message."""
        return self.has_bot

    @property
    def has_bot(self) -> bool:
        """True if a bot's token is set."""
        return bool(self.token_env or self.token_file)


class AlertmanagerSettings(ChannelSettings, frozen=True, tag="alertmanager"):
    """An Alertmanager by its URL; open alerts are sent again every `every`."""

    url: str
    every: str = "1m"
    user: str = ""
    password_env: str = ""
    password_file: str = ""

    def __post_init__(self) -> None:
        self._check_url("url")
        check_period("every", self.every, "10s", "1h")
        self._one_secret("password", required=bool(self.user))

    @property
    def edits(self) -> bool:
        """True: an alert that is sent again replaces itself."""
        return True


class WebhookSettings(ChannelSettings, frozen=True, tag="webhook"):
    """A URL that takes JSON, signed with a secret."""

    url: str
    secret_env: str = ""
    secret_file: str = ""

    def __post_init__(self) -> None:
        self._check_url("url")
        self._one_secret("secret")

    @property
    def edits(self) -> bool:
        """True: the receiver is a program that keeps what it needs."""
        return True


class MailSettings(ChannelSettings, frozen=True, tag="mail", rename={"sender": "from"}):
    """Mail by SMTP; `tls` is starttls, tls (from the first byte on) or none."""

    host: str
    sender: str
    to: list[str]
    port: int = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password_env: str = ""
    password_file: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ValueError(f"port is {self.port}, expected 1 to 65535")
        for key, address in [("from", self.sender), *(("to", each) for each in self.to)]:
            if not ADDRESS.fullmatch(address):
                raise ValueError(
                    f"{key} has {address!r}, expected an address such as 'ops@example.com'"
                )
        if not self.to:
            raise ValueError("to is [], expected at least one address")
        self._one_secret("password", required=bool(self.user))
        if self.user and self.tls == "none":
            raise ValueError("tls is 'none' with a user: the password would travel in plain text")


class AppriseSettings(ChannelSettings, frozen=True, tag="apprise"):
    """Any other receiver by its Apprise URL, which is a secret."""

    url_env: str = ""
    url_file: str = ""

    def __post_init__(self) -> None:
        self._one_secret("url")


Channel = (
    PagerdutySettings | SlackSettings | AlertmanagerSettings | WebhookSettings | MailSettings
    | AppriseSettings
)  # fmt: skip


CHANNEL_KINDS = tuple(str(kind.__struct_config__.tag) for kind in get_args(Channel))


class AlertsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The address at which people reach the site: messages link to it; without it they do not."""

    public_url: str = ""

    def __post_init__(self) -> None:
        if self.public_url:
            check_url("public_url", self.public_url)


class HeartbeatSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A URL that is called while the fleet is forecast; often a secret, then by env or file."""

    url: str = ""
    url_env: str = ""
    url_file: str = ""
    every: str = "1m"

    def __post_init__(self) -> None:
        given = [key for key in ("url", "url_env", "url_file") if getattr(self, key)]
        if len(given) > 1:
            raise ValueError(f"has {' and '.join(given)}: leave one of them out")
        if self.url:
            check_url("url", self.url)
        check_period("every", self.every, "10s", "1d")

    @property
    def is_set(self) -> bool:
        """True if there is a URL to call."""
        return bool(self.url or self.url_env or self.url_file)


def check_period(key: str, text: str, least: str, most: str) -> None:
    """Raise ValueError if this is not a period from `least` to `most`."""
    try:
        fits = parse_period(least) <= parse_period(text) <= parse_period(most)
    except (ValueError, OverflowError):
        fits = False
    if not fits:
        raise ValueError(f"{key} is {text!r}, expected {least} to {most}")
