"""Archive of a backup: a tar file with its format, the files of a data folder and a manifest.

First comes `hoursight.json` with the format, last `manifest.json` with the hash of each file and
the number and hash of each table's rows.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from storage.errors import HoursightError
from storage.platform.private_files import open_private

__all__ = [
    "BackupRefused", "Manifest", "OnProgress", "TableSum", "extract_archive", "write_archive",
]  # fmt: skip

FORMAT = 1
LABEL, MANIFEST = "hoursight.json", "manifest.json"
CHUNK_BYTES = 1 << 20
MAX_MANIFEST_BYTES = 1 << 28

OnProgress = Callable[[int, int], None]


def _ignore_progress(_done: int, _total: int) -> None:
    """The default."""


class BackupRefused(HoursightError):
    """A backup cannot be made or restored; the message says why and names the remedy."""


@dataclass(frozen=True, slots=True)
class TableSum:
    """Number of a table's rows and the sum of their hashes, which is independent of the order."""

    rows: int
    hash_sum: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Contents of a backup; `files` are SHA-256 by path, `engine` is the version of DuckDB.

    `left_out` are sentences about damaged files; the hashes of `unverified` files of the lake were
    not known.
    """

    made_at: str
    snapshot: int
    engine: str
    tables: dict[str, TableSum]
    files: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    unverified: int = 0

    def encode(self) -> bytes:
        """The JSON in the archive."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def decode(cls, text: bytes) -> "Manifest":
        """The reverse of `encode`; fields of later versions are ignored."""
        raw = json.loads(text)
        known = {name: raw[name] for name in ("made_at", "snapshot", "engine", "files")}
        left_out, unverified = tuple(raw.get("left_out", ())), int(raw.get("unverified", 0))
        known |= {"left_out": left_out, "unverified": unverified}
        return cls(**known, tables={name: TableSum(**t) for name, t in raw["tables"].items()})


def write_archive(
    folder: Path, target: Path, manifest: Manifest, on_progress: OnProgress | None = None
) -> None:
    """Write the files below `folder` to the new archive `target`, for this user alone; fsync it.

    Their hashes are added to `manifest`. `on_progress` is called with the bytes done and the total.
    """
    on_progress = on_progress or _ignore_progress
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    total, done = sum(p.stat().st_size for p in paths), 0
    with open(target, "xb", opener=open_private) as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            _add(tar, LABEL, json.dumps({"format": FORMAT, "made_at": manifest.made_at}).encode())
            for path in paths:
                name = path.relative_to(folder).as_posix()
                with path.open("rb") as source:
                    hashed = _Hashed(source)
                    tar.addfile(_member(name, path.stat().st_size), hashed)
                manifest.files[name] = hashed.digest.hexdigest()
                done += path.stat().st_size
                on_progress(done, total)
            _add(tar, MANIFEST, manifest.encode())
        file.flush()
        os.fsync(file.fileno())


class _Hashed(io.RawIOBase):
    """A file that is hashed as it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self.digest.update(chunk)
        return chunk


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_member(name, len(content)), io.BytesIO(content))


def extract_archive(archive: Path, target: Path, on_progress: OnProgress | None = None) -> Manifest:
    """Unpack into `target` and verify each file against the manifest at the end.

    Raises BackupRefused for a truncated, damaged or foreign archive.
    """
    on_progress = on_progress or _ignore_progress
    total = archive.stat().st_size
    unpacked: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r:") as tar:
            _check_label(archive, tar)
            for member in tar:
                if member.name == LABEL:
                    continue
                source = tar.extractfile(member)
                if source is None:
                    raise BackupRefused(
                        f"{archive} is not a valid backup: {member.name} is not a file"
                    )
                if member.name == MANIFEST:
                    manifest = Manifest.decode(source.read(MAX_MANIFEST_BYTES))
                    _check_files(archive, manifest, unpacked)
                    return manifest
                unpacked[member.name] = _unpack(source, target / _inside(archive, member.name))
                on_progress(member.offset_data + member.size, total)
    except (
        tarfile.TarError, EOFError, ValueError, KeyError, TypeError, RecursionError
    ) as error:  # fmt: skip
        raise BackupRefused(
            f"{archive} is truncated or damaged ({error}): use another backup"
        ) from error
    raise BackupRefused(f"{archive} is truncated, its end is missing: use another backup")


def _check_label(archive: Path, tar: tarfile.TarFile) -> None:
    first = tar.next()
    source = tar.extractfile(first) if first is not None and first.name == LABEL else None
    if source is None:
        raise BackupRefused(
            f"{archive} is not a backup (expected a file made by 'hoursight backup')"
        )
    label: dict[str, Any] = json.loads(source.read(CHUNK_BYTES))
    if label["format"] > FORMAT:
        raise BackupRefused(
            f"{archive} has format {label['format']} (expected at most {FORMAT}): restore it with "
            "the version that made it, or a newer one"
        )


def _inside(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise BackupRefused(f"{archive} is not a valid backup: {name!r} leads out of the folder")
    return path


def _unpack(source: IO[bytes], target: Path) -> str:
    """Write and fsync a file; returns its SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as file:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _check_files(archive: Path, manifest: Manifest, unpacked: dict[str, str]) -> None:
    wrong = [n for n, digest in manifest.files.items() if unpacked.get(n) != digest]
    wrong += [n for n in unpacked if n not in manifest.files]
    if wrong:
        raise BackupRefused(
            f"{archive} is damaged: the hash of {wrong[0]} and of {len(wrong) - 1} other files is "
            "wrong; use another backup"
        )
