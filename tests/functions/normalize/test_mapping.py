"""What a [mapping] may say, and how it is refused."""

import tomllib

import pytest

from functions.normalize.mapping import read_mapping
from functions.normalize.strict_toml import SourceInvalid
from storage.model.metrics import METRIC_NAMES


@pytest.mark.parametrize("stock", ["flat", "metricbeat"])
def test_a_stock_mapping_is_whole(stock: str) -> None:
    mapping = read_mapping({"stock": stock})
    missing = set(METRIC_NAMES) - set(mapping.entries)
    assert missing == (set() if stock == "flat" else {"front_close_wait"})
    assert mapping.time is not None


def test_what_is_said_replaces_the_stock_and_the_rest_stays() -> None:
    mapping = read_mapping(
        tomllib.loads("""
        server = { field = "box" }
        [metrics]
        cpu_user_pct = { field = "cpu.u", unit = "fraction" }
        """)
    )
    assert mapping.server.fields == ("box",)
    assert mapping.entries["cpu_user_pct"][0].fields == ("cpu.u",)
    assert mapping.entries["load_average"][0].unit == "number"
    assert {"box", "cpu.u", "load1"} <= set(mapping.paths)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stok = 'flat'", "mapping.stok is not a key .expected one of .*stock"),
        (
            "time = { fild = 'ts' }",
            "time.fild is not a key .expected one of date, field, format, time, zone",
        ),
        ("time = { field = 'ts', zone = 'Mars' }", "time.zone is 'Mars': write a name such as"),
        ("time = { field = 'ts', format = 'epoch' }", "time.format is 'epoch': write iso, epoch_s"),
        ("time = { date = 'd' }", "date is 'd', and time is missing: write the columns of both"),
        ("time = { time = 't' }", "time is 't', and date is missing: write the columns of both"),
        ("time = { field = 'f', date = 'd', time = 't' }", "field is 'f', beside date and time"),
        ("time = { zone = 'UTC' }", "field is missing: write it, or date and time"),
        (
            "time = { date = 'd', time = 't', format = 'epoch_s' }",
            "format is 'epoch_s', a number, and date and time are two columns: write iso or",
        ),
        ("gather = 'often'", "gather: 'often' is not a valid period"),
        (
            "metrics.cpu = { field = 'a' }",
            "metrics.cpu is not a metric .expected one of cpu_user",
        ),
        ("metrics.load_average = { field = 7 }", "load_average.field is 7: expected"),
        (
            "metrics.cpu_user_pct = { field = 'a', unit = 'pct' }",
            "unit is 'pct': write one of perc",
        ),
        (
            "metrics.net_in_mb_s = { field = 'a', unit = 'bytes' }",
            "unit is 'bytes', from which no MB/s can be made: write one of mb_s",
        ),
        ("metrics.net_in_mb_s = { field = 'a', counter = true }", "counter: write its unit"),
        ("metrics.disk_usage_pct = { field = 'd[].used' }", "a list: write take"),
        ("metrics.disk_usage_pct = { field = 'd', each = 'm' }", "write mapping.gather too"),
        ("stock = 'none'", "mapping.time is missing"),
        ("stock = 'sdf'", "mapping.stock is 'sdf'.*|stock is 'sdf' .expected one of none, azure"),
        ("stock = 'netdata'", "mapping.server is missing: write .*fixed"),
        ("server = { fixed = 'a', field = 'h' }", "fixed is 'a' for all documents: leave field"),
        ("server = { field = 'h', pattern = '[' }", "pattern is .\\[., which is not a valid reg"),
        ("server = { field = 'h', pattern = 'x' }", "put the part that counts into"),
        ("columns = { pattern = '.*' }", "name the group that holds the server"),
        ("columns = { pattern = '(?P<s>.)', tme = 'x' }", "columns.tme is not a key"),
        ("decimal = ';'", "decimal is ';'"),
        ("where = { a = { b = 1 } }", "where"),
        ("unmapped = [{ field = 'x' }]", "unmapped.*why is missing"),
        (
            "metrics.disk_usage_pct = { field = 'd[].u', take = 'max', each = 'd[].m', "
            "real = 'volumes' }",
            "real = 'volumes' does not fit elements of a list",
        ),
        ("metrics.net_in_mb_s = { field = 'a', per = '5m' }", "amount per period: write its unit"),
        (
            "metrics.net_in_mb_s = { field = 'a', per = '5m', unit = 'bytes_s' }",
            "from which no MB/s of an amount per period can be made: write one of mb, kb, bytes",
        ),
        ("metrics.net_in_mb_s = { field = 'a', per = '5x', unit = 'mb' }", "per: '5x' is not a"),
        (
            "metrics.net_in_mb_s = { field = 'a', per = '5m', unit = 'mb', counter = true }",
            "per does not fit a counter",
        ),
        (
            "metrics.load_average = { field = 'a', complement = true }",
            "complement is what is left to 100 %: it needs a share",
        ),
    ],
)
def test_a_mistake_is_told_with_key_value_and_remedy(text: str, says: str) -> None:
    with pytest.raises(SourceInvalid, match=says):
        read_mapping(tomllib.loads(text))


@pytest.mark.parametrize(
    ("text", "field", "pattern"),
    [
        ("{ field = 'ts' }", "ts", "iso"),
        ("{ date = 'd', time = 't' }", "d", "iso"),
        ("{ date = 'd', time = 't', format = '%Y-%m-%d %H:%M:%S' }", "d", "%Y-%m-%d"),
        ("{ date = 'd', time = 't', format = '%Y/%m/%d %I:%M %p' }", "d", "%Y/%m/%d"),
    ],
)
def test_a_source_is_ordered_by_the_date_where_it_is_in_a_column_of_its_own(
    text: str, field: str, pattern: str
) -> None:
    mapping = read_mapping(tomllib.loads(f"time = {text}"))
    assert mapping.time is not None
    assert (mapping.time.ordering.fields, mapping.time.ordering.format) == ((field,), pattern)
    assert set(mapping.time.fields) <= set(mapping.paths)


def test_the_paths_are_those_of_documents_also_where_these_hold_many_records() -> None:
    mapping = read_mapping(
        tomllib.loads("""
        records = ["hosts[].stats[]", "all[]"]
        where = { kind = "vm" }
        metrics.cpu_user_pct = { field = "user", plus = ["nice"], where = { "tags.cpu" = "all" } }
        """)
    )
    assert {"hosts", "all", "kind", "user", "nice", "tags.cpu"} <= set(mapping.paths)
