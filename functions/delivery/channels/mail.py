"""Mail: SMTP, one thread per episode. All attempts of a message have the same Message-ID.

A mail server that stops between its acceptance and its answer gets the message again; mail programs
show messages of one Message-ID once.
"""

import hashlib
import smtplib
import ssl
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from functions.delivery.channels.http_sending import masked, secret_of
from functions.delivery.dispatch import ChannelUnusable, Dispatch, SendOutcome, SendResult
from functions.delivery.message import summary_of, title_of
from storage.config.channel_settings import MailSettings
from storage.platform.error_text import bounded

__all__ = ["MailChannel", "mail_of", "message_id"]

TIMEOUT_S = 10.0
SHOWN_CHARS = 300


class MailChannel:
    """One mail server and its addressees."""

    refresh_every: timedelta | None = None
    refresh_pause = timedelta(0)

    def __init__(self, name: str, settings: MailSettings) -> None:
        self._settings = settings
        self._password = secret_of(settings, "password", name)
        try:
            self._context = ssl.create_default_context(cafile=settings.ca_file or None)
        except OSError as error:
            raise ChannelUnusable(
                f"ca_file of channel {name} cannot be used ({error})", "correct hoursight.toml"
            ) from error

    def close(self) -> None:
        """Do nothing: each message has a connection of its own."""

    def send(self, dispatch: Dispatch, now: datetime) -> SendResult:
        """Send a message; the answer names the addressees that the server refused."""
        mail = mail_of(dispatch, self._settings, now)
        sending = False
        try:
            with self._connect() as server:
                sending = True
                refused = server.send_message(mail, self._settings.sender, self._settings.to)
        except smtplib.SMTPRecipientsRefused as error:
            return self._of_recipients(error.recipients)
        except smtplib.SMTPResponseException as error:
            return self._of_status(error.smtp_code, error.smtp_error)
        except (OSError, smtplib.SMTPException) as error:
            detail = f"{self._settings.host} does not take it: {self._text(error)}"
            return SendResult(
                SendOutcome.FAILED, detail, may_have_arrived=sending, pause=not sending
            )
        names = f"not to {', '.join(sorted(refused))}" if refused else None
        return SendResult(SendOutcome.SENT, names, 250, receipt=str(mail["Message-ID"]))

    def preview(self, dispatch: Dispatch, now: datetime) -> str:
        """Return the envelope and the message."""
        sender, to = self._settings.sender, self._settings.to
        envelope = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{each}>" for each in to), "DATA", ""]
        text = mail_of(dispatch, self._settings, now).as_bytes(policy=SMTP).decode()
        return "\r\n".join(envelope) + text

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        if settings.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.host, settings.port, timeout=TIMEOUT_S, context=self._context
            )
        else:
            server = smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT_S)
        try:
            if settings.tls == "starttls":
                server.starttls(context=self._context)
            if settings.user:
                server.login(settings.user, self._password)
        except BaseException:
            server.close()
            raise
        return server

    def _of_recipients(self, recipients: dict[str, tuple[int, bytes]]) -> SendResult:
        permanent = all(code >= 500 for code, _ in recipients.values())
        code, text = next(iter(recipients.values()))
        detail = f"refused for {', '.join(sorted(recipients))} ({code}): {self._text(text)}"
        verdict = SendOutcome.REFUSED if permanent else SendOutcome.FAILED
        return SendResult(verdict, detail, code)

    def _of_status(self, code: int, text: bytes | str) -> SendResult:
        permanent = 500 <= code < 600
        detail = f"{self._settings.host} answers {code}: {self._text(text)}"
        return SendResult(SendOutcome.REFUSED if permanent else SendOutcome.FAILED, detail, code)

    def _text(self, text: object) -> str:
        shown = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        return masked(bounded(" ".join(shown.split()), SHOWN_CHARS), filter(None, [self._password]))


def mail_of(dispatch: Dispatch, settings: MailSettings, now: datetime) -> EmailMessage:
    """Return the mail of a message, a reply to the first one of its episode on this channel."""
    mail = EmailMessage()
    mail["From"], mail["To"] = settings.sender, ", ".join(settings.to)
    mail["Subject"] = _one_line(title_of(dispatch.message, now))
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = message_id(dispatch, settings)
    root = thread_id(dispatch, settings)
    if dispatch.action != "open":
        parent = message_id(dispatch, settings, "open", dispatch.opened.ts)
        mail["In-Reply-To"], mail["References"] = parent, f"{root} {parent}"
    else:
        mail["References"] = root
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(summary_of(dispatch.message, now))
    return mail


def message_id(
    dispatch: Dispatch, settings: MailSettings, action: str = "", ts: datetime | None = None
) -> str:
    """Return the Message-ID, which is the same for all attempts of a message."""
    when = (ts or dispatch.message.ts).isoformat()
    return _id(f"{dispatch.delivery}\n{action or dispatch.action}\n{when}", settings)


def thread_id(dispatch: Dispatch, settings: MailSettings) -> str:
    """Return the id that all mails of an episode refer to."""
    return _id(dispatch.episode, settings)


def _id(text: str, settings: MailSettings) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"<{digest}@{settings.sender.rpartition('@')[2]}>"


def _one_line(text: str) -> str:
    return " ".join(text.split())
