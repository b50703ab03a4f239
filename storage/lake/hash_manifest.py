"""Hash manifest: the hash of each file of the lake, in the text file `hashes` beside them.

Neither DuckDB's Parquet writer nor its reader knows page checksums (1.5.5), so that most flipped
bits decode to other values. The writer adds a file's line before the COMMIT that names the file,
durably. Each line has a checksum of its own:

    CRC-32 of what follows, BLAKE2b of 256 bits, bytes, path relative to the lake's folder
"""

import fcntl
import hashlib
import os
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from storage.platform.durability import fsync_directory
from storage.platform.private_files import open_lock

__all__ = [
    "DIGEST_BYTES",
    "FileHash",
    "HashManifest",
    "ManifestContents",
    "hash_of",
    "write_manifest",
]

HEADER = "# CRC-32 of the rest of the line, BLAKE2b-256, bytes, path"
DIGEST_BYTES = 32
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileHash:
    """A file's BLAKE2b of 256 bits, in hexadecimal digits, and its size in bytes."""

    digest: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ManifestContents:
    """The hashes by path, and the number of lines that were damaged themselves."""

    hashes: dict[str, FileHash] = field(default_factory=dict)
    damaged_lines: int = 0


def hash_of(path: Path, *, from_disk: bool = False) -> FileHash:
    """Read and hash a whole file, `from_disk` even when it is in memory. Raises OSError."""
    digest, size = hashlib.blake2b(digest_size=DIGEST_BYTES), 0
    with path.open("rb", buffering=0) as file:
        if from_disk:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return FileHash(digest.hexdigest(), size)


class HashManifest:
    """The manifest of the lake whose files are below `files`."""

    def __init__(self, files: Path) -> None:
        self.path = files / "hashes"
        self._files = files
        self._recorded: set[str] = set()  # by this object since the last `keep`

    def read(self) -> ManifestContents:
        """All lines; of a path that comes twice the last. Empty without the file."""
        try:
            text = self.path.read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return ManifestContents()
        lines = [line for line in text.split("\n") if line and not line.startswith("#")]
        parsed = [each for line in lines if (each := _parse(line)) is not None]
        return ManifestContents(dict(parsed), len(lines) - len(parsed))

    def is_recorded(self, path: Path) -> bool:
        """Return True for a file that this object recorded not long ago."""
        return self._name(path) in self._recorded

    def record(self, paths: Collection[Path]) -> None:
        """Hash files that were just written, and add them durably. Raises OSError.

        An UPDATE of rows that the same transaction wrote removes their file: it needs no hash.
        """
        new = [path for path in sorted(paths) if not self.is_recorded(path) and path.exists()]
        self.add({self._name(path): hash_of(path) for path in new})

    def add(self, hashes: Mapping[str, FileHash]) -> None:
        """Add hashes by path, durably. Raises OSError."""
        if not hashes:
            return
        with self._locked():
            is_new = not self.path.exists()
            lines = [HEADER] * is_new + [_line(name, each) for name, each in hashes.items()]
            self._append("".join(f"\n{line}" for line in lines))
            if is_new:
                fsync_directory(self._files)
        self._recorded |= hashes.keys()

    def _append(self, text: str) -> None:
        """Append and sync; each line begins with its line feed: a torn one harms no other."""
        with self.path.open("ab") as file:
            file.write(text.encode())
            file.flush()
            os.fdatasync(file.fileno())

    def keep(self, names: Collection[str]) -> int:
        """Drop the lines of all other files; returns their number. Raises OSError."""
        if not self.path.exists():
            return 0
        with self._locked():
            contents = self.read()
            kept = {name: each for name, each in contents.hashes.items() if name in names}
            dropped = len(contents.hashes) - len(kept)
            if dropped or contents.damaged_lines:
                write_manifest(self.path, kept)
        self._recorded &= kept.keys()
        return dropped

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open_lock(self.path.with_suffix(".lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _name(self, path: Path) -> str:
        return path.relative_to(self._files).as_posix()


def write_manifest(path: Path, hashes: Mapping[str, FileHash]) -> None:
    """Replace a manifest, atomically and durably. Raises OSError."""
    draft = path.with_suffix(".draft")
    lines = (HEADER, *(_line(name, each) for name, each in sorted(hashes.items())))
    with draft.open("w") as file:
        file.write("\n".join(lines))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    fsync_directory(path.parent)


def _line(name: str, each: FileHash) -> str:
    rest = f"{each.digest} {each.bytes} {name}"
    return f"{zlib.crc32(rest.encode()):08x} {rest}"


def _parse(line: str) -> tuple[str, FileHash] | None:
    """The path and hash of a line; None if the line is damaged or torn."""
    checksum, _, rest = line.partition(" ")
    if checksum != f"{zlib.crc32(rest.encode(errors='replace')):08x}":
        return None
    digest, size, name = rest.split(" ", 2)
    return name, FileHash(digest, int(size))
