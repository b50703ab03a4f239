import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from functions.delivery.channels.mail import MailChannel, mail_of, message_id
from functions.delivery.dispatch import SendOutcome
from scripts.ports import free_port
from storage.config.channel_settings import MailSettings
from tests.functions.delivery.messages import NOW, dispatch

PASSWORD = "open, sesame"  # noqa: S105 - of a test


@dataclass
class Inbox:
    """What a mail server was given; `replies` come before it takes anything."""

    mails: list[Envelope] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    rejected: str = ""

    async def handle_RCPT(  # noqa: N802 - the name that the server calls
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address == self.rejected:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        if self.replies:
            return self.replies.pop(0)
        self.mails.append(envelope)
        return "250 OK"

    def parsed(self) -> list[EmailMessage]:
        return [message_from_bytes(cast(bytes, m.content), policy=default) for m in self.mails]


@contextmanager
def mail_server(folder: Path) -> Iterator[tuple[Inbox, MailSettings]]:
    """A mail server that wants STARTTLS and the password of the user `hs`."""
    authority, inbox = trustme.CA(), Inbox()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    def authenticate(
        _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any
    ) -> Any:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)

    controller = Controller(
        inbox, hostname="localhost", port=free_port(), tls_context=context, require_starttls=True,
        auth_required=True, authenticator=authenticate,
    )  # fmt: skip
    controller.start()
    try:
        yield inbox, MailSettings(
            host="localhost", port=controller.port, sender="hs@example.com", user="hs",
            to=["ops@example.com", "night@example.com"], password_env="MAIL_PASSWORD",  # noqa: S106
            ca_file=str(folder / "ca.pem"),
        )  # fmt: skip
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Inbox, MailSettings]]:
    with mail_server(tmp_path_factory.mktemp("mail")) as each:
        yield each


@pytest.fixture
def mail(
    served: tuple[Inbox, MailSettings], monkeypatch: pytest.MonkeyPatch
) -> tuple[Inbox, MailChannel]:
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    inbox, settings = served
    inbox.mails, inbox.replies, inbox.rejected = [], [], ""
    return inbox, MailChannel("mail", settings)


def test_mails_of_an_episode_are_one_thread(mail: Any) -> None:
    inbox, channel = mail
    for action, phase in (("open", "predicted"), ("update", "breached"), ("resolve", "over")):
        assert channel.send(dispatch(action, phase=phase), NOW).outcome is SendOutcome.SENT
    first, *others = inbox.parsed()
    assert first["Subject"].startswith("Critical: disk used on db-7 likely passes 95 %")
    for each in others:
        assert each["In-Reply-To"] == first["Message-ID"]
        assert each["References"].split() == [first["References"], first["Message-ID"]]
    assert len({each["Message-ID"] for each in inbox.parsed()}) == 3


def test_a_mail_has_the_facts_and_the_links_as_plain_text(mail: Any) -> None:
    inbox, channel = mail
    channel.send(dispatch(), NOW)
    text = inbox.parsed()[0].get_content()
    assert "Odds: 62 % that it breaches within 1 h" in text
    assert "https://hs.example/act/token" in text
    assert inbox.mails[0].rcpt_tos == ["ops@example.com", "night@example.com"]


def test_every_attempt_of_a_message_has_the_same_id(mail: Any) -> None:
    inbox, channel = mail
    inbox.replies = ["451 later"]
    failed = channel.send(dispatch(), NOW)
    assert (failed.outcome, failed.status) == (SendOutcome.FAILED, 451)
    receipts = {channel.send(dispatch(), NOW).receipt for _ in range(2)}
    assert receipts == {message_id(dispatch(), channel._settings)}


def test_a_permanent_refusal_is_not_tried_again(mail: Any) -> None:
    inbox, channel = mail
    inbox.replies = ["554 no"]
    answer = channel.send(dispatch(), NOW)
    assert (answer.outcome, answer.detail) == (SendOutcome.REFUSED, "localhost answers 554: no")


def test_an_addressee_that_is_refused_is_named_and_the_others_get_it(mail: Any) -> None:
    inbox, channel = mail
    inbox.rejected = "night@example.com"
    answer = channel.send(dispatch(), NOW)
    assert (answer.outcome, answer.detail) == (SendOutcome.SENT, "not to night@example.com")


def test_a_wrong_password_is_refused_and_not_shown(
    served: tuple[Inbox, MailSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "wrong-password")
    answer = MailChannel("mail", served[1]).send(dispatch(), NOW)
    assert (answer.outcome, answer.status) == (SendOutcome.REFUSED, 535)
    assert "wrong-password" not in str(answer.detail)


def test_a_server_that_is_not_there_is_tried_again() -> None:
    settings = MailSettings(host="localhost", port=free_port(), sender="a@b.c", to=["d@e.f"])
    answer = MailChannel("mail", settings).send(dispatch(), NOW)
    assert (answer.outcome, answer.may_have_arrived) == (SendOutcome.FAILED, False)


def test_a_preview_has_the_envelope_and_the_message(mail: Any) -> None:
    lines = mail[1].preview(dispatch(), NOW).split("\r\n")
    assert lines[:3] == [
        "MAIL FROM:<hs@example.com>", "RCPT TO:<ops@example.com>", "RCPT TO:<night@example.com>",
    ]  # fmt: skip
    assert any(line.startswith("Message-ID: <") for line in lines)


def test_no_name_of_a_server_adds_a_header() -> None:
    settings = MailSettings(host="h", sender="a@b.c", to=["d@e.f"])
    sent = mail_of(dispatch(server="db\r\nBcc: x@y.z"), settings, NOW)
    assert sent["Bcc"] is None
    assert "db Bcc: x@y.z" in sent["Subject"]
