"""Prometheus text format: metrics, labels, escapes and numbers."""

from web.telemetry.exposition import Measure, Values, exposed

UP = Measure("up", "gauge", "1 when it is up.")
RUNS = Measure("runs_total", "counter", "Runs.", ("function", "outcome"))


def lines_of(measures: list[Measure], values: Values) -> list[str]:
    return exposed(measures, values).splitlines()


def test_a_metric_has_help_type_and_samples() -> None:
    assert exposed([UP], {"up": {(): 1}}) == "# HELP up 1 when it is up.\n# TYPE up gauge\nup 1\n"


def test_a_metric_without_values_is_absent() -> None:
    assert lines_of([UP, RUNS], {"up": {(): 0}})[2:] == ["up 0"]


def test_labels_stand_in_the_order_of_the_declaration() -> None:
    (line,) = lines_of([RUNS], {"runs_total": {("risk", "ok"): 2}})[2:]
    assert line == 'runs_total{function="risk",outcome="ok"} 2'


def test_a_summary_has_a_sum_and_a_count() -> None:
    took = Measure("took_seconds", "summary", "Duration.", ("of",))
    values: Values = {"took_seconds_sum": {("a",): 0.5}, "took_seconds_count": {("a",): 2.0}}
    assert took.series == ("took_seconds_sum", "took_seconds_count")
    assert lines_of([took], values)[2:] == [
        'took_seconds_sum{of="a"} 0.5', 'took_seconds_count{of="a"} 2',
    ]  # fmt: skip


def test_quotes_newlines_and_control_characters_are_escaped() -> None:
    label = Measure("a", "gauge", "one\ntwo", ("name",))
    helped, _, sample = lines_of([label], {"a": {('x"\\\n\x00',): 1}})
    assert helped == "# HELP a one\\ntwo"
    assert sample == 'a{name="x\\"\\\\\\n\\\\x00"} 1'


def test_equal_label_sets_after_escaping_are_one_series() -> None:
    label = Measure("a", "gauge", "A.", ("name",))
    (line,) = lines_of([label], {"a": {("\x01",): 1, ("\\x01",): 2}})[2:]
    assert line.endswith(" 2")


def test_numbers_are_written_as_prometheus_reads_them() -> None:
    measures = [Measure("a", "gauge", "A.", ("of",))]
    given: Values = {"a": {("1",): 0.5, ("2",): 3.0, ("3",): float("inf"), ("4",): float("nan")}}
    lines = exposed(measures, given).splitlines()[2:]
    assert [line.split()[1] for line in lines] == ["0.5", "3", "+Inf", "NaN"]
