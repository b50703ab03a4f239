"""The page of trust: what forecasts and warnings of the last days were worth, and the models."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from litestar import Response, get, post
from litestar.response import Redirect

from storage.config.folders import Folders
from storage.query.reader import Reader
from web.actions import act, actor_of, back_to
from web.auth import ADMIN
from web.display import trust
from web.display.episodes import Record, metric_label, record_of
from web.display.system_status import SystemStatus, system_status
from web.display.trust import DRIFT_LIMIT, TrustFigures, of_model, trust_sentences
from web.display.trust_svg import SIZE, Dot, Line, reliability_dots, series_line
from web.lake_session import LakeSession, sql
from web.operations import PAGE, answering
from web.pages.alerts_page import form_of
from web.query_links import query_url
from web.rendering import SiteRequest, TheLake, TheTime, page

__all__ = ["change_model", "trust_page"]

WEEK = timedelta(days=7)
SHIPPED = "shipped"  # the model of the package
TRUST_PATH = "/trust"
_QUICK = (
    "trust_reliability", "trust_drift", "trust_drifting", "trust_models", "trust_candidates",
    "trust_trainings", "trust_blind",
)  # fmt: skip
_SLOW = ("trust_coverage", "trust_skill", "trust_accuracy", "trust_days")
_ENDED = ("promoted", "refused", "learned", "failed", "cancelled", "unable")


@dataclass(frozen=True, slots=True)
class TrustView:
    """Data of the page of trust."""

    system: SystemStatus
    figures: TrustFigures
    record: Record
    rows: Mapping[str, list[dict[str, Any]]]
    candidates: tuple[str, ...]
    links: Mapping[str, str]

    @property
    def sentences(self) -> list[str]:
        """What the last 7 days say."""
        return trust_sentences(self.figures, self.record)

    @property
    def reliability(self) -> list[tuple[dict[str, Any], list[Dot]]]:
        """Each lead of the newest fit with its bins."""
        return [(row, reliability_dots(row)) for row in self.rows["trust_reliability"]]

    @property
    def drift(self) -> dict[str, Any] | None:
        """The newest check of the fleet."""
        rows = self.rows["trust_drift"]
        return rows[-1] if rows else None

    @property
    def drift_line(self) -> Line | None:
        """The loss beside that of the reference week, hour by hour."""
        points = [(row["ts"], row["loss_ratio"]) for row in self.rows["trust_drift"]]
        return series_line(points, DRIFT_LIMIT, 0.15)

    @property
    def accuracy_line(self) -> Line | None:
        """The accuracy day by day."""
        points = [(row["day"], row["accuracy"]) for row in self.figures.days]
        return series_line(points, trust.ACCURACY_GOAL, 0.08)

    @property
    def running(self) -> list[dict[str, Any]]:
        """Trainings that have not ended."""
        return [row for row in self.rows["trust_trainings"] if row["event"] not in _ENDED]

    @property
    def serving(self) -> str | None:
        """The fingerprint of the model that serves."""
        rows = self.rows["trust_models"]
        return rows[0]["model"] if rows and rows[0]["live_until"] is None else None


def _read_figures(
    lake: LakeSession, reader: Reader, model: str | None, now: datetime
) -> TrustFigures:
    """Return the slow figures as of `now`; they are computed once for each hour that is scored."""
    newest = reader.query(sql("trust_newest_score"), now=now)["newest"][0].as_py()
    hour = now.replace(minute=0, second=0, microsecond=0)
    version = (model, hour, newest)
    return lake.kept.shared("trust", version, lambda: _figures(reader, model, newest, now))


def _figures(
    reader: Reader, model: str | None, newest: datetime | None, now: datetime
) -> TrustFigures:
    rows = {name: reader.query(sql(name), now=now).to_pylist() for name in _SLOW}
    return TrustFigures(
        newest, of_model(rows["trust_coverage"], model), of_model(rows["trust_skill"], model),
        of_model(rows["trust_accuracy"], model), rows["trust_days"],
    )  # fmt: skip


def read_trust(lake: LakeSession, now: datetime) -> TrustView:
    """Return what is known about the forecasts as of `now`, from one snapshot."""
    week = {"now": now, "since": now - WEEK, "until": now + timedelta(minutes=1)}
    with lake.snapshot() as reader:
        system = system_status(reader, lake.folders, now)
        rows = {name: reader.query(sql(name), now=now).to_pylist() for name in _QUICK}
        record = record_of(reader.query(sql("alerts_record"), **week).to_pylist()[0])
        served = rows["trust_models"][0]["model"] if rows["trust_models"] else None
        figures = _read_figures(lake, reader, served, now)
    links = {name: query_url(name, now=now) for name in (*_QUICK, *_SLOW)}
    return TrustView(
        system, figures, record, rows, _own_models(lake.folders),
        links | {"record": query_url("alerts_record", **week)},
    )  # fmt: skip


def _own_models(folders: Folders) -> tuple[str, ...]:
    """Return the names of the model files of the data folder, the newest first."""
    served = (folders.models / "serving.onnx", folders.models / "previous.onnx")
    paths = [path for path in folders.models.glob("*.onnx") if path not in served]
    return tuple(p.stem for p in sorted(paths, key=lambda p: p.stat().st_mtime, reverse=True))


@get(
    TRUST_PATH, sync_to_thread=True, summary="How far forecasts and warnings can be trusted",
    operation_class=answering(PAGE),
)  # fmt: skip
def trust_page(request: SiteRequest, lake: TheLake, request_time: TheTime) -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""
    view = read_trust(lake, request_time)
    return page(
        request, "trust", now=request_time, view=view, system=view.system,
        problems=view.system.problems, trust=trust, size=SIZE, metric_label=metric_label,
        shipped=SHIPPED,
    )  # fmt: skip


@post(
    "/trust/models", status_code=303, summary="Let another model serve, with a reason", opt=ADMIN,
    operation_class=answering(PAGE),
)  # fmt: skip
async def change_model(request: SiteRequest, lake: TheLake) -> Redirect:
    """Promote the model of the form, or go back to the one before; then the page of trust."""
    form = await form_of(request)
    body = {"action": form.get("action", ""), "reason": form.get("reason", "")}
    if form.get("action") == "promote":
        body["model"] = form.get("model", "")
    outcome = await act(request, lake, "model_change", body | {"made_by": actor_of(request)})
    serves = (outcome.answer.get("answer") or {}).get("serves", "The other model")
    said = f"{serves} serves from the next forecast on."
    return back_to(f"{TRUST_PATH}#models", outcome.error or said, outcome.failed)
