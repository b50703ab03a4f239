"""One-time links in messages: signed for one episode and one channel, with an end.

Their key is a private file of the data folder. A link acts once for each act; what it did is kept
as a file, which is created exclusively.
"""

import base64
import hashlib
import hmac
import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.platform.durability import fsync_directory
from storage.platform.private_files import create_private_folder, open_private

__all__ = ["LinkClaim", "LinkInvalid", "LinkUsed", "SignedLinks"]

VALID_FOR = timedelta(hours=48)
MAX_TOKEN = 1000
KEY_BYTES = 32
PURPOSE = b"hoursight link 1\n"  # so that no other text signed with this key is a link
# An act that began so long ago, and was not finished, may be tried again.
UNFINISHED_S = 60.0


class LinkInvalid(HoursightError):
    """A link that was not made here, was changed, or is too old."""


class LinkUsed(HoursightError):
    """A link that has acted already."""


class LinkClaim(msgspec.Struct, frozen=True, array_like=True):
    """What a link is for: an episode, the channel it was sent to, and its end (epoch seconds)."""

    episode: str
    channel: str
    ends_at: int


@dataclass(frozen=True, slots=True)
class SignedLinks:
    """The links of a data folder."""

    folders: Folders

    def token(self, episode: str, channel: str, made_at: datetime) -> str:
        """Return the token of a link; one day's tokens for an episode and channel are the same."""
        day = made_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        ends_at = int((day + timedelta(days=1) + VALID_FOR).timestamp())
        payload = msgspec.json.encode(LinkClaim(episode, channel, ends_at))
        return f"{_text(payload)}.{_text(_signature(self._key(), payload))}"

    def claim(self, token: str, now: datetime) -> LinkClaim:
        """Return what a token is for. Raises LinkInvalid."""
        payload, _, signature = token[:MAX_TOKEN].partition(".")
        try:
            key, raw = self.folders.link_key.read_bytes(), _bytes(payload)
            signed = hmac.compare_digest(_signature(key, raw), _bytes(signature))
        except (OSError, ValueError):
            signed = False
        if not signed:
            raise LinkInvalid("this link is not valid", "open the link of the message again")
        claim = msgspec.json.decode(raw, type=LinkClaim)
        if claim.ends_at <= now.timestamp():
            raise LinkInvalid("this link is too old", "open the episode on the site")
        return claim

    def begin(self, claim: LinkClaim, act: str) -> None:
        """Reserve an act; call `finish` when it is done, or `undo`. Raises LinkUsed."""
        path = self._used(claim, act)
        create_private_folder(path.parent)
        try:
            os.close(open_private(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            about = path.stat()
            if about.st_size or time.time() - about.st_mtime < UNFINISHED_S:
                raise LinkUsed(
                    "this link was used already", "see the episode on the site"
                ) from None
            path.touch()
        fsync_directory(path.parent)

    def finish(self, claim: LinkClaim, act: str) -> None:
        """Note that an act is done: it is never done again."""
        path = self._used(claim, act)
        with open(path, "w", opener=open_private) as file:
            file.write("done\n")
            file.flush()
            os.fsync(file.fileno())

    def undo(self, claim: LinkClaim, act: str) -> None:
        """Release an act that could not be done."""
        self._used(claim, act).unlink(missing_ok=True)

    def is_used(self, claim: LinkClaim, act: str) -> bool:
        """Return True if an act was done or has begun."""
        return self._used(claim, act).exists()

    def forget(self, now: datetime) -> None:
        """Remove the files of links that have ended."""
        oldest = (now - VALID_FOR - timedelta(days=2)).timestamp()
        folder = self.folders.used_links
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)

    def _used(self, claim: LinkClaim, act: str) -> Path:
        text = f"{claim.episode}\n{claim.channel}\n{act}"
        return self.folders.used_links / hashlib.sha256(text.encode()).hexdigest()[:32]

    def _key(self) -> bytes:
        """Return the key; create it at the first call."""
        path = self.folders.link_key
        try:
            return path.read_bytes()
        except FileNotFoundError:
            create_private_folder(path.parent)
            new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
            with open(new, "xb", opener=open_private) as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(new, path)  # fails where another process was first
            except FileExistsError:
                pass
            finally:
                new.unlink()
            fsync_directory(path.parent)
            return path.read_bytes()


def _signature(key: bytes, payload: bytes) -> bytes:
    return hmac.new(key, PURPOSE + payload, hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
