"""Tables of the loop: scores, calibration, odds, alerts, deliveries, drift, training and audit."""

from datetime import timedelta

import pyarrow as pa

from storage.model.columns import (
    SERVER,
    flag,
    name,
    numbers,
    prose,
    real,
    server,
    text,
    time,
    whole,
)
from storage.model.grid import LEAD_MINUTES
from storage.model.table_definition import Column, Table

__all__ = ["LOOP_TABLES"]

ALWAYS = None
_REPLAYED = flag("replayed", "true: from a replay of the history, never served; NULL: live")
WEEK, MONTH, THIRTEEN_MONTHS = (timedelta(days=n) for n in (7, 30, 400))

_BUCKET = Column(
    "bucket", pa.int16(), "lead bucket by its end: 60, 240 or 480 minutes ahead", required=True
)

_SCORES = Table(
    "scores",
    "sums of the errors of forecasts, one row an hour of targets, server, metric, lead and model",
    THIRTEEN_MONTHS,
    (
        SERVER,
        text("metric", "what was forecast", required=True),
        _BUCKET,
        time("ts", "start of the hour in which the targets lie"),
        text("model", "fingerprint of the model file", required=True),
        whole("targets", "5-minute means that were compared with a forecast each"),
        whole("abstained", "5-minute means for which no forecast was served"),
        whole("shadow", "of `targets`, those whose forecast was made and not served"),
        whole("acted_on", "targets left out of the sums: somebody acted in that time"),
        whole("samples", "samples of the metric in that hour when it was scored"),
        real("loss", "sum of the losses of the served quantiles (2/7 of their pinball losses)"),
        real("loss_model", "the same of the model's own quantiles, before calibration"),
        real("loss_calibrated", "the same of the model's calibrated quantiles"),
        real("loss_context", "the same of the quantiles of the 24 h before"),
        real("loss_seasonal_band", "the same of the value 24 h before, with a band"),
        real("loss_last_band", "the same of the last value, with a band"),
        real("error", "sum of the absolute errors of the served median"),
        real("error_model", "the same of the model's own median"),
        real("error_naive", "sum of the absolute errors of the last value before the forecast"),
        real("error_seasonal", "sum of the absolute errors of the value 24 h before the target"),
        whole("moving", "targets of a series that moves and is not a counter: those of the shares"),
        whole("inside_50", "of these, inside the served 50 % band"),
        whole("inside_80", "inside the served 80 % band"),
        whole("inside_96", "inside the served 96 % band"),
        whole("inside_50_model", "inside the model's own 50 % band, before calibration"),
        whole("inside_80_model", "inside the model's own 80 % band"),
        whole("inside_96_model", "inside the model's own 96 % band"),
        real("scale", "scale of the metric: 100 for percentages, else P1 to P99 of 30 days"),
        whole("within_10", "targets whose served median is within 10 % of the scale"),
        _REPLAYED,
    ),
    key=("server", "metric", "bucket", "ts", "model"), on_conflict="last",
)  # fmt: skip

_CALIBRATION = Table(
    "calibration",
    "state of the online calibration: factors on the widths of the model's bands",
    MONTH,
    (
        text("scope", "fleet, profile or server", required=True),
        server("name", "which profile or server; 'fleet' for the fleet"),
        text("metric", "which metric", required=True),
        _BUCKET,
        time("ts", "end of the last hour of targets that is in it"),
        text("model", "fingerprint of the model file that it belongs to", required=True),
        real("log_factor_50", "logarithm of the factor of the 50 % band's width"),
        real("log_factor_80", "logarithm of the factor of the 80 % band's width"),
        real("log_factor_96", "logarithm of the factor of the 96 % band's width"),
        whole("updates", "15-minute steps of evidence so far, of the fleet"),
        whole(
            "hours_since_preset",
            "hours since it was set to the quantile of the first day's ratios; NULL: it was not",
        ),
        whole("idle_hours", "hours since the last target of this profile or server"),
    ),
    key=("scope", "name", "metric", "bucket", "ts", "model"), on_conflict="last",
)  # fmt: skip

_RACE = Table(
    "race",
    "weights of the model and of three naive forecasts in what is served",
    WEEK,
    (
        SERVER,
        text("metric", "what is forecast", required=True),
        _BUCKET,
        time("ts", "end of the last hour of targets that is in it"),
        text("model", "fingerprint of the model file", required=True),
        real("weight_model", "share of the calibrated model"),
        real("weight_context", "share of the quantiles of the 24 h before"),
        real("weight_seasonal", "share of the value 24 h before, with a band"),
        real("weight_last", "share of the last value, with a band"),
        numbers("recent_loss", "recent mean losses of the four, in this order"),
        numbers("recent_difference", "recent mean difference of these to the model's"),
        numbers("recent_noise", "recent mean square of that difference, hour by hour"),
        numbers("evidence_hours", "hours of targets in the recent losses of each"),
        whole("idle_hours", "hours since the last target"),
        numbers("seasonal_band", "7 quantiles of value minus that of 24 h before, over 48 h"),
        numbers("last_band", "7 quantiles of value minus the last one, over 48 h"),
        real("skill", "1 − served loss / naive loss over the last 7 days; below 0 it abstains"),
        prose("abstains", "why no forecast is served; NULL: it is served"),
    ),
    key=("server", "metric", "bucket", "ts", "model"), on_conflict="last",
)  # fmt: skip

_ODDS = Table(
    "odds",
    "odds that a metric breaches its critical level, as they were issued",
    THIRTEEN_MONTHS,
    (
        SERVER,
        text("metric", "which metric", required=True),
        time("issued_at", "as of when; the leads count from here"),
        text("model", "fingerprint of the model of the forecast"),
        real("level", "critical level of the metric on this server"),
        real("value", "last 5-minute mean"),
        *(
            real(f"p_{lead}m", f"P(three steps in a row at the level within {lead} minutes)")
            for lead in LEAD_MINUTES
        ),
        *(
            real(f"raw_{lead}m", f"the same within {lead} minutes, before calibration")
            for lead in LEAD_MINUTES
        ),
        *(
            real(f"any_{lead}m", f"P(a single step at the level within {lead} minutes)")
            for lead in LEAD_MINUTES
        ),
        *(
            real(f"raw_any_{lead}m", f"the same within {lead} minutes, before calibration")
            for lead in LEAD_MINUTES
        ),
        text("origin", "bands, or trend: which of the two the odds are from"),
        flag("checked", "true if these odds were checked on 30 breaches or more of this fleet"),
        time("earliest", "10 % of the paths are at the level sooner", required=False),
        time("likely", "half are sooner", required=False),
        time("latest", "90 % are sooner", required=False),
        prose("drivers", "what raises them, strongest first", pa.list_(pa.string())),
        _REPLAYED,
    ),
    key=("server", "metric", "issued_at"), time="issued_at",
)  # fmt: skip

_ODDS_MODELS = Table(
    "odds_models",
    "how odds are calibrated on the fleet's own breaches, refitted daily, with their reliability",
    ALWAYS,
    (
        time("ts", "when it was fitted"),
        text("kind", "calibration, any, trend, paths or fleet", required=True),
        text("metric_group", "group of metrics; 'all' for all", required=True),
        Column("lead_minutes", pa.int32(), "horizon in minutes; 0: all"),
        text("model", "fingerprint of the model of the forecasts"),
        whole("events", "independent breaches that it was fitted on"),
        whole("cases", "odds that it was fitted on"),
        real("base_rate", "share of the cases that ended in a breach"),
        real("brier", "Brier score on the last days, which were not fitted on"),
        real("brier_other", "that of what serves or would serve without it"),
        real("ece", "expected calibration error on those days"),
        flag("serves", "true if it is better there and therefore used"),
        numbers("said", "reliability: mean odds of each bin"),
        numbers("came", "reliability: share of each bin that came"),
        numbers("came_low", "lower 95 % bound of that share, from blocks of server × 8 h"),
        numbers("came_high", "upper 95 % bound of that share"),
        numbers("bin_blocks", "reliability: independent cases of each bin"),
        text("parameters", "what was fitted (JSON)"),
    ),
    key=("ts", "kind", "metric_group", "lead_minutes"),
    by_day=False,
)  # fmt: skip

_FLEET_ODDS = Table(
    "fleet_odds",
    "chance that any server breaches a critical level soon, and how many breaches are expected",
    THIRTEEN_MONTHS,
    (
        time("issued_at", "as of when; the leads count from here"),
        whole("servers", "servers with odds"),
        real("p_30m", "P(at least one breach begins within 30 minutes)"),
        real("p_480m", "the same within 8 hours"),
        real("expected_30m", "breaches that are expected to begin within 30 minutes"),
        real("expected_480m", "the same within 8 hours"),
        real("raw_expected_30m", "sum of the odds within 30 minutes, before calibration"),
        real("raw_expected_480m", "the same within 8 hours"),
        flag("checked", "true if this was checked on 30 breaches or more of this fleet"),
        _REPLAYED,
    ),
    key=("issued_at",), on_conflict="last", time="issued_at",
)  # fmt: skip

_BREACHES = Table(
    "breaches",
    "what happened: three 5-minute steps in a row at or over a level, after two hours without",
    ALWAYS,
    (
        SERVER,
        text("metric", "which metric", required=True),
        text("level", "critical or warn", required=True),
        time("ts", "start of its first step"),
        time("ended_at", "end of its last step so far; = ts: part of another one", required=False),
        real("threshold", "the level's value"),
        real("peak", "the worst 5-minute mean"),
        flag("acted_on", "true if somebody acted in the 8 h before"),
    ),
    key=("server", "metric", "level", "ts"), on_conflict="last",
    by_day=False,
)  # fmt: skip

_ALERT_EVENTS = Table(
    "alert_events",
    "what happened to alert episodes: one row a change, one id an episode for all its life",
    ALWAYS,
    (
        text("episode", "id of the episode", required=True),
        time("ts", "when"),
        text("event", "opened, changed, escalated, acknowledged, closed …", required=True),
        text("phase", "predicted, breached, over, withdrawn, averted or no data", required=True),
        SERVER,
        text("metric", "which metric; NULL for missing data"),
        text("rule", "the rule that opened it"),
        name("profile", "the server's profile"),
        name("site", "the server's site"),
        text("severity", "severity level"),
        Column("escalation", pa.int32(), "which step of the escalation: 0 is the first"),
        real("value", "the metric's last value"),
        real("threshold", "the level that the rule watches"),
        real("p", "odds of a breach, at the rule's horizon"),
        Column("lead_minutes", pa.int32(), "the rule's horizon in minutes"),
        time("earliest", "10 % of the paths are at the level sooner", required=False),
        time("likely", "half are sooner", required=False),
        time("latest", "90 % are sooner", required=False),
        time("breached_at", "when it breached", required=False),
        time("closes_at", "when it closes if nothing changes", required=False),
        text("group_key", "episodes that belong together have the same"),
        text("group_id", "the episode whose messages tell of it too; NULL: it has its own"),
        text("caused_by", "the episode that caused it"),
        text("channels", "where it is sent, separated by commas; NULL: nowhere"),
        prose("why", "why, in words"),
        prose("reasons", "the strongest reasons, strongest first", pa.list_(pa.string())),
        text("made_by", "who did it; NULL: the rule"),
        prose("state", "what the rule remembers of it (JSON)"),
    ),
    key=("episode", "ts", "event"),
    by_day=False,
)  # fmt: skip

_MARKS = Table(
    "marks",
    "what people did or announced: acknowledgements, actions, deployments, silences",
    ALWAYS,
    (
        text("mark", "id of the mark", required=True),
        time("ts", "when it was made"),
        text("kind", "acknowledged, acting, deploy, remediation, silence, …", required=True),
        server("server", "the server; NULL: by pattern or episode", required=False),
        prose("pattern", "glob of server names"),
        text("metric", "the metric; NULL: all"),
        text("episode", "the episode that it belongs to"),
        time("starts_at", "since when it holds", required=False),
        time("ends_at", "until when it holds", required=False),
        text("made_by", "who made it"),
        prose("note", "why, in words"),
    ),
    key=("mark",),
    by_day=False,
)  # fmt: skip

_DELIVERIES = Table(
    "deliveries",
    "attempts to deliver a message of an episode to a channel",
    ALWAYS,
    (
        text("delivery", "id: one group of episodes, level and channel", required=True),
        time("ts", "when"),
        text("episode", "the episode, or the first one of its group", required=True),
        text("level", "severity level or step of escalation", required=True),
        text("action", "open, update, acknowledge or resolve", required=True),
        text("channel", "name of the channel", required=True),
        text("kind", "pagerduty, slack, alertmanager, webhook, mail or apprise"),
        text("outcome", "queued, sent, failed, refused or dropped", required=True),
        Column("attempt", pa.int32(), "which attempt"),
        Column("status", pa.int32(), "HTTP or SMTP status of the answer"),
        time("next_at", "when it is tried again", required=False),
        text("receipt", "the receiver's id of the message"),
        prose("detail", "the answer or the error, in words"),
    ),
    key=("delivery", "action", "ts", "outcome"),
    by_day=False,
)  # fmt: skip

_DRIFT = Table(
    "drift",
    "whether forecasts have become worse, and what has changed in the data; hourly",
    THIRTEEN_MONTHS,
    (
        text("scope", "fleet, profile or server", required=True),
        server("name", "which profile or server; 'fleet' for the fleet"),
        time("ts", "end of the hours that are judged"),
        text("model", "fingerprint of the model file"),
        numbers("losses", "mean loss of each of the 14 metrics in the last hour; of a server only"),
        real("log_loss_ratio", "logarithm of the loss of 12 h / its reference of the same class"),
        real("lower_bound", "lower bound of it, by the spread over servers and over days"),
        Column("over_limit", pa.int32(), "checks in a row with the bound over the limit"),
        flag("drifting", "true after three checks in a row; that of the fleet decides"),
        real("prediction_error", "PER: mean absolute error / scale (limit .10); shown only"),
        real("distribution_shift", "DSS: two-sample KS against the same class (limit .20)"),
        real("feature_drift", "FDS: mean shift in σ ÷ 3, same class (limit .15); shown only"),
        real("anomaly_rate", "share of points outside the 96 % band (limit .05); shown only"),
        real("combined", "weighted sum of these four (limit .10); shown only"),
        prose("why", "what it means, in words"),
    ),
    key=("scope", "name", "ts"), on_conflict="last",
)  # fmt: skip

_CASCADES = Table(
    "cascade_links",
    "servers whose trouble follows that of another, by the lag between them",
    THIRTEEN_MONTHS,
    (
        server("downstream", "the server that follows"),
        server("upstream", "the server that leads"),
        time("ts", "when the link was found"),
        text("downstream_metric", "the metric that follows"),
        text("upstream_metric", "the metric that leads"),
        Column("lag_minutes", pa.int32(), "how far it follows"),
        real("correlation", "partial correlation at this lag, without the common daily shape"),
        real("p_value", "after correction for the number of pairs"),
    ),
    key=("downstream", "upstream", "ts"),
)  # fmt: skip

_TRAININGS = Table(
    "trainings",
    "trainings: why, how far, and what came of them",
    ALWAYS,
    (
        text("training", "one training", required=True),
        time("ts", "when"),
        text(
            "event", "requested, due, postponed, cancelled, started, progress, promoted, refused, "
            "learned, failed or unable", required=True,
        ),
        text("cause", "loss, calendar, person or command; history: a warm start"),
        prose("reason", "why it is due, or why it did not take place, in words"),
        real("progress", "share that is done, 0 to 1"),
        text("model", "fingerprint of the model that came of it"),
        text("serving", "fingerprint of the model that it was compared with"),
        text("verdict", "the comparison (JSON)"),
    ),
    key=("training", "ts", "event"),
    by_day=False,
)  # fmt: skip

_AUDIT = Table(
    "audit",
    "what people did at the site, its API and the command: logins, answers, settings",
    THIRTEEN_MONTHS,
    (
        text("entry", "id of the entry", required=True),
        time("ts", "when"),
        text("actor", "who: name of the user or key; local without one", required=True),
        text("role", "viewer, operator, admin or feed, at that time; NULL: nobody logged in"),
        text("shown_by", "what showed who it was: user, key, oidc, proxy, link or command"),
        text("action", "what: login, logout, acknowledged, silence, promote …", required=True),
        prose("target", "of what: a server, an episode, a pattern, a function, a model"),
        prose("detail", "the note or the values that came with it, in words"),
        text("address", "from where; NULL: from this machine's command"),
        text("outcome", "done, refused or failed", required=True),
        prose("reason", "why it was refused or failed"),
    ),
    key=("entry",),
)  # fmt: skip

LOOP_TABLES: tuple[Table, ...] = (
    _SCORES, _CALIBRATION, _RACE, _ODDS, _ODDS_MODELS, _FLEET_ODDS, _BREACHES, _ALERT_EVENTS,
    _MARKS, _DELIVERIES, _DRIFT, _CASCADES, _TRAININGS, _AUDIT,
)  # fmt: skip
