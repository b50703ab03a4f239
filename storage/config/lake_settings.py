"""Settings of the data folder and of the lake: who may read it, where it is, how much memory."""

import re

import msgspec

__all__ = ["POSTGRES", "DataSettings", "LakeSettings"]

POSTGRES = "postgres:"
PASSWORD = re.compile(r"\bpassword\s*=|://[^/@]*:[^/@]*@", re.IGNORECASE)
MEMORY = re.compile(r"([1-9]\d{0,5})(MB|GB)")
LEAST_MEMORY_MB = 128


class DataSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may read the data folder: its user alone, or with `group_readable` its group too."""

    group_readable: bool = False


class LakeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the lake's catalog and files are, by default in the data folder, and readers' memory.

    `reader_memory` limits DuckDB's memory in each process that reads; a query that needs more
    writes to the disk. A fetched result comes on top of it.
    """

    catalog: str = "sqlite"
    data_path: str = ""
    reader_memory: str = "512MB"

    def __post_init__(self) -> None:
        memory = MEMORY.fullmatch(self.reader_memory)
        if memory is None or int(memory[1]) * (1000 if memory[2] == "GB" else 1) < LEAST_MEMORY_MB:
            raise ValueError(
                f"reader_memory is {self.reader_memory!r}, expected for example '512MB' or '4GB', "
                f"at least {LEAST_MEMORY_MB}MB"
            )
        if PASSWORD.search(self.catalog):  # the message must not show it
            raise ValueError(
                "catalog contains a password, expected none: put it into PGPASSWORD or a pgpass "
                "file"
            )
        if self.catalog != "sqlite" and not self.catalog.startswith(POSTGRES):
            raise ValueError(
                f"catalog is {self.catalog!r}, expected 'sqlite' or for example "
                f"'{POSTGRES}dbname=hoursight host=db.example'"
            )
        if self.data_path and not self.data_path.startswith("/"):
            raise ValueError(
                f"data_path is {self.data_path!r}, expected an absolute folder that all hosts share"
            )
