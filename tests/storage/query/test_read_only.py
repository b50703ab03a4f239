"""What SQL for people may do: every analysis runs, and nothing that changes a file does."""

import hashlib
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

import hoursight
from storage.config.folders import Folders
from storage.lake.attach import attach_writer
from storage.lake.writer import Writer
from storage.query.reader import QueryFailed, Reader, StatementRefused
from tests.conftest import NOW, LakeFixture

HOSTILE = """
select * from ducklake_cleanup_old_files('lake', cleanup_all => true)
select * from ducklake_cleanup_old_files('lake', dry_run => true)
from ducklake_delete_orphaned_files('lake', cleanup_all => true)
from ducklake_expire_snapshots('lake', older_than => now())
from ducklake_merge_adjacent_files('lake')
from ducklake_rewrite_data_files('lake')
from ducklake_flush_inlined_data('lake')
from ducklake_set_option('lake', 'target_file_size', '1MB')
from ducklake_add_data_files('lake', 'metrics', 'x.parquet')
select (select count(*) from ducklake_cleanup_old_files('lake', cleanup_all => true))
with a as (from ducklake_cleanup_old_files('lake', cleanup_all => true)) from a
with recursive a as (from ducklake_cleanup_old_files('lake', cleanup_all => true)) from a
from metrics, lateral (from ducklake_cleanup_old_files('lake', cleanup_all => true))
select 1 where exists (from "DUCKLAKE_CLEANUP_OLD_FILES"('lake', cleanup_all => true))
from metrics union all by name from ducklake_cleanup_old_files('lake', cleanup_all => true)
select * from system.main.ducklake_cleanup_old_files('lake', cleanup_all => true)
explain analyze from ducklake_cleanup_old_files('lake', cleanup_all => true)
explain from ducklake_cleanup_old_files('lake', cleanup_all => true)
explain (format json) from ducklake_cleanup_old_files('lake', cleanup_all => true)
summarize from ducklake_cleanup_old_files('lake', cleanup_all => true)
describe from ducklake_cleanup_old_files('lake', cleanup_all => true)
pivot (from ducklake_cleanup_old_files('lake', cleanup_all => true)) on path using count(*)
with p as (pivot metrics on server using count(*)) from p, ducklake_delete_orphaned_files('lake')
unpivot (from ducklake_cleanup_old_files('lake', cleanup_all => true)) on path into name n value v
from query('from ducklake_cleanup_old_files(''lake'', cleanup_all => true)')
from query('from ducklake_cleanup' || '_old_files(''lake'', cleanup_all => true)')
from query_table('metrics')
from histogram_values('cleaning', 'path')
from histogram(cleaning, path)
from cleaning
from lake.main.cleaning
select * from over_cleaning
describe cleaning
pivot cleaning on path using count(*)
from cleaned()
select shadow(1)
select sinh(1)
select [1].list_sum()::int, x.nextval() from (select 'seq' as x)
copy metrics to 'out.csv'
copy (select 1) to 'out.parquet' (format parquet)
explain analyze copy metrics to 'out.csv'
export database 'out'
select 1; select 2
select 1; from ducklake_cleanup_old_files('lake', cleanup_all => true)
create table t as select 1
create temp table t as select 1
create temp macro m() as 1
create view v as select 1
insert into metrics (server) values ('x')
update metrics set server = 'x'
delete from metrics
explain analyze delete from metrics
truncate metrics
drop table metrics
alter table metrics drop column source
merge into servers using metrics on false when not matched then insert by name
attach 'new.duckdb' as new
detach lake
use memory
set threads = 1
set variable x = 1
reset threads
pragma threads = 1
pragma database_size
call lake.set_option('target_file_size', '1MB')
checkpoint
force checkpoint
from checkpoint()
vacuum
begin
install httpfs
load httpfs
prepare p as select 1
comment on table metrics is 'x'
select nextval('seq')
select write_log('x')
select setseed(0.5)
select json_serialize_plan('from cleaning')
from json_execute_serialized_sql(json_serialize_sql('select 1'))
from sqlite_scan('catalog.sqlite', 'ducklake_snapshot')
from sqlite_query('__ducklake_metadata_lake', 'delete from ducklake_snapshot')
from sqlite_attach('catalog.sqlite')
from postgres_query('__ducklake_metadata_lake', 'delete from ducklake_snapshot')
from postgres_execute('__ducklake_metadata_lake', 'delete from ducklake_snapshot')
from duckdb_secrets()
from which_secret('s3://x', 's3')
from add_parquet_key('k', '0123456789112345')
from read_duckdb('other.duckdb')
from 'other.duckdb'
from enable_logging()
from truncate_duckdb_logs()
select getenv('HOME')
""".strip().splitlines()

SOUND = """
select 1
values (1), (2)
from metrics
table metrics
(select count(*) from metrics)
select server, ts, mem_used_pct from metrics where ts > now() - interval 6 hour order by ts limit 5
select server, severity, score, breach_metric from fleet_now order by score desc limit 5
select server, metric, ts, p10, p50, p90 from forecast_latest where metric = 'mem_used_pct'
select server, max(cpu_iowait_pct_max) as worst from metrics_5m group by server order by worst desc
select * from forecast_points where server = 'ppdb001'
select data_file, delete_file from ducklake_list_files('lake', 'metrics_5m')
from ducklake_snapshots('lake')
from ducklake_current_snapshot('lake')
from ducklake_table_changes('lake', 'main', 'metrics', 0, 1)
select * from metrics at (version => 1)
with a as (select * from metrics), b as (select server from a) select count(*) from b
with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) select sum(i) from n
select server, avg(mem_used_pct) over (order by ts rows 3 preceding) from metrics
select server, lag(mem_used_pct) over w, row_number() over w from metrics window w as (order by ts)
select * from metrics qualify row_number() over (partition by server order by ts desc) = 1
select time_bucket(interval 5 minute, ts), quantile_cont(load_average, 0.9) from metrics group by 1
select date_trunc('hour', ts), approx_count_distinct(server) from metrics group by all
select server, arg_max(mem_used_pct, ts), max_by(ts, mem_used_pct) from metrics group by server
select count(*) filter (mem_used_pct > 50), bool_or(mem_used_pct > 90) from metrics
select regr_slope(mem_used_pct, epoch(ts)), corr(mem_used_pct, load_average) from metrics
pivot metrics on server using max(mem_used_pct) group by ts
pivot metrics on server in ('a', 'b') using avg(mem_used_pct)
select * from (pivot metrics on server using count(*)) where true
unpivot (select ts, load_average from metrics) on columns(* exclude ts) into name n value v
select b.score from metrics a asof join risks b on a.server = b.server and a.ts >= b.issued_at
select m.server, unnest(range(3)) as i from metrics m
select unnest([1, 2, 3]), unnest({'a': 1, 'b': 2})
select list_transform([1, 2], lambda x: x + 1), list_filter([1, 2], lambda x: x > 1), [1, 2][1:1]
select [x * 2 for x in [1, 2] if x > 1], {'a': 1}.a, map {'a': 1}['a']
select server.upper(), mem_used_pct.round(1) from metrics
select list(server order by ts)[1:5], string_agg(distinct server, ', ') from metrics
select * from generate_series(timestamptz '2026-05-06', timestamptz '2026-05-07', interval 1 hour)
select * from range(5) t(i) join lateral (select i * 2 as j) on true
select columns('_mean$') from metrics_5m
select * exclude (source) replace (round(mem_used_pct) as mem_used_pct) from metrics
select server, count(*) from metrics group by rollup (server), grouping sets ((server), ())
select grouping(server), server, count(*) from metrics group by cube (server)
select extract(hour from ts), strftime(ts, '%H:%M'), ts at time zone 'UTC', age(ts) from metrics
select cast(ts as date), try_cast('x' as int), coalesce(null, 1), nullif(1, 1) from metrics
select case when mem_used_pct between 1 and 9 then 1 end, ts::date, server like 'a%' from metrics
select regexp_extract(server, '(\\d+)', 1), server ~ 'a', server similar to 'a.*' from metrics
select trim(' x '), substring('abc' from 2 for 1), position('b' in 'abc'), 'a' || 'b'
from metrics semi join servers using (server)
from metrics anti join deletions using (server)
select * from metrics positional join metrics_5m
select * from metrics using sample 10 rows
select random() < 2, uuid() is not null, hash(server), md5(server) from metrics
select json_extract('{"a": [1]}', '$.a[0]'), '{"a": 1}'::json ->> 'a', to_json(server) from metrics
select * from json_each('{"a": 1}')
select histogram(mem_used_pct), mode(server), entropy(server), median(mem_used_pct) from metrics
select * from calm
describe metrics
describe select 1 as a
show tables
show all tables
summarize metrics
explain select * from metrics
explain analyze select count(*) from metrics
explain (analyze, format json) select count(*) from metrics
explain (select 1)
select table_name from information_schema.tables
select database_name, view_name from duckdb_views()
from pragma_table_info('metrics')
select current_setting('threads'), version(), current_user
select a.v, m.server from 'limits.csv' a left join metrics m on m.server = a.server
from read_csv('limits.csv', header = true)
select * from 'limits.parquet' union all by name select * from read_parquet(['limits.parquet'])
from read_json('limits.json')
from glob('*.csv')
select filename, content from read_text('limits.csv')
select 1;
select 1 -- a remark; and its end
""".strip().splitlines()


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file of a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, empty_lake: Path) -> Path:
    """A lake with files to be cleaned up, orphans, foreign views and macros."""
    data = tmp_path_factory.mktemp("read_only") / "var"
    shutil.copytree(empty_lake, data)
    with duckdb.connect(data / "other.duckdb") as other:
        other.execute("CREATE TABLE t AS SELECT 1 AS path")
    writer = Writer.open(data)
    house = LakeFixture(Folders.at(data), writer, Reader.open(data))
    for i in range(3):
        ts = NOW + timedelta(seconds=5 * i)
        house.put("metrics", [{"server": s, "ts": ts, "mem_used_pct": 10.5 * i} for s in "ab"])
        house.commit(ts)
    writer.merge("metrics")
    house.reader.close()
    writer.close()
    _define(house.folders)
    (data / "limits.csv").write_text("server,v\na,1\n")
    (data / "limits.json").write_text('{"server": "a", "v": 1}\n')
    return data


def _define(folders: Folders) -> None:
    """What another program may have defined in the lake."""
    writer = attach_writer(folders)
    call = "ducklake_cleanup_old_files('lake', cleanup_all => true)"
    for statement in (
        f"CREATE VIEW cleaning AS FROM {call}",
        "CREATE VIEW over_cleaning AS SELECT count(*) AS n FROM cleaning",
        "CREATE VIEW calm AS SELECT server, lower(server) AS name FROM servers",
        f"CREATE MACRO cleaned() AS TABLE FROM {call}",
        "CREATE MACRO shadow(x) AS x + 1",
        "CREATE MACRO sinh(x) AS x",
    ):
        writer.execute(statement)
    path = folders.data / "limits.parquet"
    writer.execute(f"COPY (SELECT 'a' AS server, 1 AS v) TO '{path}' (FORMAT parquet)")
    writer.close()


@pytest.fixture(scope="module")
def opened(data: Path) -> Iterator[Reader]:
    with closing(Reader.open(data)) as reader:
        yield reader


@pytest.fixture
def reader(data: Path, opened: Reader, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.chdir(data)
    return opened


@pytest.mark.parametrize("statement", HOSTILE)
def test_a_statement_that_does_more_than_read_is_refused_and_changes_no_file(
    data: Path, reader: Reader, statement: str
) -> None:
    before = contents(data)
    with pytest.raises(StatementRefused, match=r"SQL is read-only here.*--unrestricted"):
        reader.query(statement)
    assert contents(data) == before


@pytest.mark.parametrize("statement", SOUND)
def test_an_analysis_runs_and_changes_no_file(data: Path, reader: Reader, statement: str) -> None:
    before = contents(data)
    with reader.pinned() as pinned:
        pinned.query(statement)
    assert contents(data) == before


def test_every_way_to_run_sql_is_checked(data: Path) -> None:
    statement = "COPY metrics TO 'out.csv'"
    with hoursight.connect(data) as lake, pytest.raises(StatementRefused):
        lake.sql(statement)
    reader = Reader.open(data)
    with reader.pinned() as pinned, pytest.raises(StatementRefused):
        pinned.query(statement)
    with reader.start(statement) as running, pytest.raises(StatementRefused):
        running.rows()
    reader.close()


def test_a_refusal_leaves_a_pinned_snapshot_usable(reader: Reader) -> None:
    with reader.pinned() as pinned:
        with pytest.raises(StatementRefused):
            pinned.query("CHECKPOINT")
        assert pinned.query("SELECT count(*) AS n FROM metrics")["n"].to_pylist() == [6]


def test_no_statement_reaches_the_network(reader: Reader) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.csv"
        for statement in (f"FROM '{url}'", f"FROM read_csv('{url}')", f"FROM read_text('{url}')"):
            with pytest.raises(QueryFailed):
                reader.query(statement)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_variables_of_the_program_are_not_tables(reader: Reader) -> None:
    with pytest.raises(QueryFailed, match="does not exist"):
        reader.query("FROM sql")
    with pytest.raises(QueryFailed, match="does not exist"):
        reader.query("FROM parameters")


def test_a_view_that_is_made_later_is_checked_too(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "var")
    reader = Reader.open(tmp_path / "var")
    assert reader.query("SELECT 1 AS n").num_rows == 1
    writer = attach_writer(reader.folders)
    writer.execute("CREATE VIEW later AS FROM ducklake_delete_orphaned_files('lake')")
    writer.close()
    with pytest.raises(StatementRefused, match="ducklake_delete_orphaned_files"):
        reader.query("FROM later")
    reader.close()


def test_an_unrestricted_reader_runs_the_rest(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "var")
    target, before = tmp_path / "out.csv", set(contents(tmp_path / "var"))
    with hoursight.connect(tmp_path / "var", unrestricted=True) as lake:
        lake.sql(f"COPY (SELECT 1 AS a) TO '{target}'")
        assert lake.sql("SELECT 1 AS n; SELECT 2 AS n")["n"].to_pylist() == [2]
        with pytest.raises(QueryFailed, match="read-only"):
            lake.sql("FROM ducklake_cleanup_old_files('lake', cleanup_all => true)")
    assert target.read_text() == "a\n1\n"
    assert len(before - set(contents(tmp_path / "var"))) == 3  # why the function is refused
