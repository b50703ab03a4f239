"""Paths in a data folder."""

import os
from dataclasses import dataclass
from pathlib import Path

from storage.platform.private_files import PRIVATE_MODE, create_private_folder

__all__ = ["Folders", "default_data"]


def default_data() -> Path:
    """The data folder when none is given: `$HOURSIGHT_DATA`, else `var`."""
    return Path(os.environ.get("HOURSIGHT_DATA") or "var")


@dataclass(frozen=True, slots=True)
class Folders:
    """The paths in one data folder, all absolute; none needs to exist."""

    data: Path

    @classmethod
    def at(cls, data: Path | str) -> "Folders":
        """The folders below `data`."""
        return cls(Path(data).absolute())

    @property
    def inbox(self) -> Path:
        """Segments to be committed."""
        return self.data / "inbox"

    @property
    def rejected(self) -> Path:
        """Segments that the writer rejected, each with its reason in a text file beside it."""
        return self.data / "rejected"

    @property
    def damaged(self) -> Path:
        """Damaged files of the lake that were put aside, each with a record beside it."""
        return self.data / "damaged"

    @property
    def file_reports(self) -> Path:
        """Names of files of the lake that a reader could not read, for the writer to check."""
        return self.data / "reports"

    @property
    def scrub(self) -> Path:
        """How far the writer's check of all files of the lake has come."""
        return self.data / "scrub.json"

    @property
    def lake(self) -> Path:
        """The Parquet files of the lake."""
        return self.data / "lake"

    @property
    def catalog(self) -> Path:
        """The lake's SQLite catalog."""
        return self.data / "catalog.sqlite"

    @property
    def catalog_snapshots(self) -> Path:
        """Copies of the SQLite catalog, the newest few."""
        return self.data / "catalog-snapshots"

    @property
    def last_backup(self) -> Path:
        """Where the last backup was written."""
        return self.data / "last-backup.json"

    @property
    def last_values(self) -> Path:
        """Last-value cache: the newest sample of each server, as of the last commit."""
        return self.data / "latest.arrow"

    @property
    def merge_lock(self) -> Path:
        """Lock: shared by readers while they read, exclusive while a merge is committed."""
        return self.data / "merge.lock"

    @property
    def data_path_link(self) -> Path:
        """Link to the lake's files that the writer uses when its catalog is networked."""
        return self.data / "pen"

    @property
    def committed(self) -> Path:
        """Segments committed to a networked catalog, kept for an hour in case it loses them."""
        return self.data / "committed"

    @property
    def merge_gate(self) -> Path:
        """Lock that readers pass before they read; a merge closes it to get its turn."""
        return self.data / "merge.gate"

    @property
    def announce(self) -> Path:
        """One file for each table, touched after each commit that changed the table."""
        return self.data / "announce"

    @property
    def heartbeats(self) -> Path:
        """One file for each process, touched while its main loop goes round."""
        return self.data / "heartbeats"

    @property
    def models(self) -> Path:
        """Model registry: model files; `serving.onnx`, if there is one, is in use."""
        return self.data / "models"

    @property
    def own_model(self) -> Path | None:
        """`serving.onnx` if it exists, readable or not; None means the shipped model is in use."""
        own = self.models / "serving.onnx"
        return own if own.exists() or own.is_symlink() else None

    @property
    def staging(self) -> Path:
        """Where a backup collects links to the files that it is going to contain."""
        return self.data / "staging"

    @property
    def functions(self) -> Path:
        """The user's functions, one file each."""
        return self.data / "functions"

    @property
    def sources(self) -> Path:
        """The source files, one TOML file each."""
        return self.data / "sources"

    @property
    def alerts(self) -> Path:
        """The user's alert rules, routes and maintenance windows, in TOML files."""
        return self.data / "alerts"

    @property
    def rpc_socket(self) -> Path:
        """Socket of the RPC server that calls functions."""
        return self.data / "calls.sock"

    @property
    def history(self) -> Path:
        """Socket of the RPC server that answers queries about earlier runs, in the engine."""
        return self.data / "history.sock"

    @property
    def push_socket(self) -> Path:
        """Socket of the RPC server that accepts pushed rows."""
        return self.data / "feed.sock"

    @property
    def pending(self) -> Path:
        """Write-ahead log: pushed rows that are not in a segment yet."""
        return self.data / "pending"

    @property
    def outbox(self) -> Path:
        """SQLite file of messages of alerts: those to deliver, and what came of the others."""
        return self.data / "outbox.sqlite"

    @property
    def link_key(self) -> Path:
        """The key that signs one-time links in messages of alerts."""
        return self.data / "link.key"

    @property
    def used_links(self) -> Path:
        """One file for each one-time link that was used."""
        return self.data / "used-links"

    @property
    def keys(self) -> Path:
        """The API keys, hashed; without the file there are none."""
        return self.data / "keys.json"

    @property
    def key_usage(self) -> Path:
        """When and from where the API keys were last used, and what was refused."""
        return self.data / "key_usage.json"

    @property
    def users(self) -> Path:
        """The people who may log in, their passwords hashed; without the file there are none."""
        return self.data / "users.json"

    @property
    def sessions(self) -> Path:
        """Who is logged in at the site, by the hash of the browser's token."""
        return self.data / "sessions.json"

    @property
    def saved_queries(self) -> Path:
        """The queries that were saved on the SQL page; without the file there are none."""
        return self.data / "saved_queries.json"

    @property
    def deleted(self) -> Path:
        """The servers that were deleted, by pseudonym; without the file there are none."""
        return self.data / "deleted.json"

    @property
    def settings(self) -> Path:
        """The settings file; it is optional."""
        return self.data / "hoursight.toml"

    def create(self) -> "Folders":
        """Create the missing folders, for this user alone; returns self."""
        create_private_folder(self.data)
        for folder in (self.inbox, self.rejected, self.committed, self.models):
            folder.mkdir(mode=PRIVATE_MODE, exist_ok=True)
        for folder in (self.lake, self.announce):  # the umask says whether a group reads them
            folder.mkdir(exist_ok=True)
        return self
