"""Files of rules in the data folder: read as they are saved, with the last good entries of each.

The entries in force are kept in `alerts/.last-good`, so that one that cannot be used leaves its
former version in force, also after a restart.
"""

import logging
from contextlib import suppress
from dataclasses import replace

import msgspec

from functions.alerting.rule_reader import Entries, ReadBook, Refusal, read_book
from functions.engine.user_files import FileFolder
from storage.config.folders import Folders
from storage.config.settings import schema_of, settings_in_force

__all__ = ["RULE_FILES", "news", "read_rule_files"]

log = logging.getLogger(__name__)

RULE_FILES = FileFolder("alerts", ".toml")
_KEPT = ".last-good"
_REFUSED = "refused.json"


def read_rule_files(folders: Folders, *, save: bool = True) -> ReadBook:
    """Return the rules in force in a data folder, and what of its files is refused.

    With `save` the entries in force become the last good ones.
    """
    sources = RULE_FILES.sources(folders)
    texts = {name: source.text for name, source in sources.items() if not source.refusal}
    last_good = _last_good(folders)
    untrusted = {name: source.refusal for name, source in sources.items() if source.refusal}
    texts |= dict.fromkeys(untrusted, b"")
    read = read_book(texts, last_good, schema_of(folders).metrics)
    refused = tuple(Refusal(name, "file", why, False) for name, why in untrusted.items())
    if save and read.entries != last_good:
        _save(folders, "entries.json", msgspec.json.encode(read.entries))
    routes = read.book.routes.among(settings_in_force(folders.data).channels)
    book = replace(read.book, routes=routes)
    return ReadBook(book, (*refused, *read.refusals), read.entries)


def news(folders: Folders, read: ReadBook) -> tuple[str, ...] | None:
    """Return what is refused in words if that is not what it was before; None: it is the same."""
    sentences = tuple(map(str, read.refusals))
    encoded = msgspec.json.encode(sentences)
    before = b"[]"
    with suppress(OSError):
        before = (folders.alerts / _KEPT / _REFUSED).read_bytes()
    if encoded == before:
        return None
    for sentence in sentences:
        log.warning("%s", sentence)
    _save(folders, _REFUSED, encoded)
    return sentences


def _last_good(folders: Folders) -> dict[str, Entries]:
    path = folders.alerts / _KEPT / "entries.json"
    with suppress(OSError, ValueError):
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Entries])
    return {}


def _save(folders: Folders, name: str, content: bytes) -> None:
    kept = folders.alerts / _KEPT
    kept.mkdir(parents=True, exist_ok=True)
    partial = kept / f"{name}.partial"
    partial.write_bytes(content)
    partial.rename(kept / name)
