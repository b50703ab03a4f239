"""The settings page: each setting and where it comes from, and what lies on the disk."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from litestar import Response, get
from litestar.params import FromQuery

from storage.config.settings import SettingsError, read_settings, schema_of
from storage.config.settings_origin import settings_with_origins
from storage.query.disk_usage import DiskUse, disk_use
from web.display.problems import Problem
from web.display.settings_sections import settings_sections
from web.display.system_status import system_status
from web.lake_session import LakeMissing, LakeSession, sql
from web.operations import PAGE, answering
from web.rendering import SiteRequest, TheLake, TheTime, page

__all__ = ["DiskView", "settings_page"]

MAX_QUERY = 200


@dataclass(frozen=True, slots=True)
class DiskView:
    """What lies on the disk, by kind and by table, and the free space [bytes]."""

    uses: Sequence[DiskUse]
    tables: Sequence[dict[str, Any]]
    free: int


def _disk(lake: LakeSession, now: datetime) -> tuple[DiskView, tuple[Problem, ...]]:
    folders = lake.folders
    with lake.snapshot() as reader:
        uses = disk_use(reader, now)
        tables = reader.query(sql("telemetry_files")).to_pylist()
        problems = system_status(reader, folders, now).problems
    schema = schema_of(folders)
    retention = {table.name: table.retention_text for table in schema.tables}
    for row in tables:
        row["retention"] = retention.get(row["table_name"], "always")
    tables.sort(key=lambda row: (-row["bytes"], row["table_name"]))
    return DiskView(uses, tables, shutil.disk_usage(folders.data).free), problems


@get(
    "/settings", sync_to_thread=True, summary="Settings page: values, origins, disk use",
    operation_class=answering(PAGE),
)  # fmt: skip
def settings_page(
    request: SiteRequest,
    lake: TheLake,
    request_time: TheTime,
    q: FromQuery[str] = "",
    changed: FromQuery[str] = "",
) -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""
    disk: DiskView | None = None
    problems: tuple[Problem, ...] = ()
    with suppress(LakeMissing):  # the page says so
        disk, problems = _disk(lake, request_time)
    folders = lake.folders
    query, changed_only = q.strip()[:MAX_QUERY], changed not in ("", "0")
    origins = settings_with_origins(folders.data)
    return page(
        request, "settings", now=request_time, invalid=_invalid(folders.data), disk=disk,
        sections=settings_sections(origins, query, changed_only), total=len(origins), query=query,
        changed_only=changed_only, problems=problems, file=folders.settings, data=folders.data,
    )  # fmt: skip


def _invalid(data: Path) -> str:
    """Return what is wrong with the settings file; empty if nothing is."""
    try:
        read_settings(data)
    except SettingsError as error:
        return str(error)
    return ""
