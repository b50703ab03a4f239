"""Where things lie in a data folder."""

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Folders", "default_data"]


def default_data() -> Path:
    """Return the data folder when none is named: `HOURSIGHT_DATA`, else `var`."""
    return Path(os.environ.get("HOURSIGHT_DATA") or "var")


@dataclass(frozen=True, slots=True)
class Folders:
    """The places of one data folder, all absolute; `create` makes those that are missing."""

    data: Path

    @classmethod
    def at(cls, data: Path | str) -> "Folders":
        """The folders below `data`."""
        return cls(Path(data).absolute())

    @property
    def inbox(self) -> Path:
        """Segments that wait for the writer."""
        return self.data / "inbox"

    @property
    def rejected(self) -> Path:
        """Segments that the writer refused, each with its reason beside it."""
        return self.data / "rejected"

    @property
    def lake(self) -> Path:
        """The Parquet files of the lake."""
        return self.data / "lake"

    @property
    def catalog(self) -> Path:
        """The lake's SQLite catalog."""
        return self.data / "catalog.sqlite"

    @property
    def last_values(self) -> Path:
        """The last sample of each server, as of the last commit."""
        return self.data / "latest.arrow"

    @property
    def merge_lock(self) -> Path:
        """Shared by readers while they read; the writer's alone while a merge takes effect."""
        return self.data / "merge.lock"

    @property
    def data_path_link(self) -> Path:
        """The path by which the writer names the lake's files where its catalog is networked."""
        return self.data / "pen"

    @property
    def committed(self) -> Path:
        """Segments that a networked catalog has taken, kept a while in case that it loses them."""
        return self.data / "committed"

    @property
    def merge_gate(self) -> Path:
        """Readers pass it before they read; a merge that finds no gap between them closes it."""
        return self.data / "merge.gate"

    @property
    def announce(self) -> Path:
        """One file a table, touched after each commit that changed it."""
        return self.data / "announce"

    @property
    def models(self) -> Path:
        """The shelf: model files, of which `serving.onnx` is the one in use, when there is one."""
        return self.data / "models"

    @property
    def own_model(self) -> Path | None:
        """The model in use, also when it cannot be read; None when there is none of its own."""
        own = self.models / "serving.onnx"
        return own if own.exists() or own.is_symlink() else None

    @property
    def staging(self) -> Path:
        """Where a backup gathers links to what it is going to hold."""
        return self.data / "staging"

    @property
    def functions(self) -> Path:
        """The user's own functions, one file each."""
        return self.data / "functions"

    @property
    def sources(self) -> Path:
        """The source files, one TOML file each."""
        return self.data / "sources"

    @property
    def rpc_socket(self) -> Path:
        """The socket on which a running system takes calls of its functions."""
        return self.data / "calls.sock"

    @property
    def push_socket(self) -> Path:
        """The socket on which a running system takes what is pushed to it."""
        return self.data / "feed.sock"

    @property
    def pending(self) -> Path:
        """What was pushed and is not in a segment yet."""
        return self.data / "pending"

    @property
    def keys(self) -> Path:
        """The API keys, hashed; no file, no keys."""
        return self.data / "keys.json"

    @property
    def settings(self) -> Path:
        """The settings file, which need not exist."""
        return self.data / "hoursight.toml"

    def create(self) -> "Folders":
        """Make the folders that are missing."""
        for folder in (
            self.inbox, self.rejected, self.committed, self.lake, self.announce, self.models,
        ):  # fmt: skip
            folder.mkdir(parents=True, exist_ok=True)
        return self
