from datetime import timedelta
from pathlib import Path

import pytest

from storage.config.settings import Settings, SettingsError, read_settings, write_settings
from storage.model.schema import STOCK
from storage.model.time_limits import TimeLimits


def test_without_a_file_every_key_has_its_default(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == Settings()


def test_written_settings_are_read_back(tmp_path: Path) -> None:
    write_settings(tmp_path, Settings())
    assert read_settings(tmp_path) == Settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[web]\nport = 'x'", "web.port is 'x', expected `int`, got `str`"),
        ("[web]\nport = 70000", "port is 70000, expected 1 to 65535"),
        ("[sources.simulator]\nservers = 0", "servers is 0, expected 1 to 10000"),
        ("[remote_write]\nserver_label = 'a-b'", "server_label is 'a-b', expected a label such as"),
        ("[remote_write]\nserver_label = []", "server_label is [], expected a label such as"),
        ("[devices.links]\ninclude = ['']", "include has '', expected a pattern such as 'wg*'"),
        ("[devices]\nlink = 1", "unknown field `link` in [devices]"),
        ("[wep]\nport = 1", "unknown field `wep`"),
        ("[web", "hoursight.toml"),
        ("[[metrics]]\nname = 'GPU %'", "name is 'GPU %', expected lower-case letters"),
        ("[[metrics]]\nname = 'mem_used_pct'", "'mem_used_pct', which is reserved"),
        ("[[metrics]]\nname = 'gpu_max'", "not ending in _mean, _max, _count"),
        ("[[metrics]]\nname = 'gpu'\nwarn = 9", "has one of warn and critical"),
        ("[[metrics]]\nname = 'gpu'\n[[metrics]]\nname = 'gpu'", "a name twice"),
        ("[lake]\ncatalog = 'mysql:db'", "catalog is 'mysql:db', expected 'sqlite' or for"),
        ("[lake]\ncatalog = 'postgres:password=pst'", "contains a password, expected none: put"),
        ("[lake]\ncatalog = 'postgres:postgresql://me:pst@db/x'", "PGPASSWORD or a pgpass file"),
        ("[lake]\nreader_memory = '64MB'", "reader_memory is '64MB', expected for example '512MB'"),
        ("[lake]\nreader_memory = 'all'", "reader_memory is 'all', expected for example '512MB'"),
        ("[lake]\ndata_path = 's3://lake'", "data_path is 's3://lake', expected an absolute"),
        (
            "[retention]\nmetrics = '7 weeks'",
            "retention.metrics is '7 weeks', expected 'always' or",
        ),
        ("[retention]\nmetrics = '2h'", "at least one day"),
        (
            "[profiles.patterns]\nfrontend = ['fe-*']",
            "patterns has 'frontend', expected one of ml",
        ),
        ("[profiles.patterns]\ndatabase = 'db-*'", "profiles.patterns"),
        ("[tags]\n'a b' = ['web-*']", "tags has 'a b', expected a name of letters, digits"),
        ("[tags]\neu = []", "tags.eu is [], expected host names (globs) such as ['web-*']"),
        ("[limits]\nmem_used_pct = 120", "limits has 'mem_used_pct', expected one of net_in_mb_s"),
        ("[limits]\nuptime_days = 0", "limits.uptime_days is 0, expected a number over 0"),
        ("[limits]\nuptime_days = 'x'", "limits.uptime_days is 'x', expected `float`, got `str`"),
        ("[functions.x]\nenvironment = 3", "functions.x.environment is 3, expected `array`"),
        ("[deletions]\nreturning = 'maybe'", "returning is 'maybe', expected 'accept' or"),
        ("[times]\nmax_age = '10y'", "max_age is '10y', expected 1d to 36500d"),
        ("[times]\nmax_age = '1h'", "max_age is '1h', expected 1d to 36500d"),
        ("[times]\nmax_ahead = '2d'", "max_ahead is '2d', expected 1s to 1d"),
        ("[times]\nmax_ahaed = '5m'", "unknown field `max_ahaed` in [times]"),
        ("[retention]\nmodels = '7d'", "retention has 'models', expected one of metrics,"),
    ],
)
def test_an_invalid_setting_is_reported_by_file_key_and_expectation(
    tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "hoursight.toml").write_text(text)
    with pytest.raises(SettingsError) as error:
        read_settings(tmp_path)
    assert says in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "pst" not in str(error.value)


def test_the_limits_of_times_are_part_of_the_schema(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text("[times]\nmax_age = '7300d'\n")
    times = read_settings(tmp_path).schema().times
    assert times == TimeLimits(timedelta(days=7300), timedelta(minutes=5))
    assert Settings().schema() == STOCK
