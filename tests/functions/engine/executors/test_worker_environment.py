import pytest

from functions.engine.executors.worker_environment import unnamed_variables, worker_environment
from functions.engine.executors.worker_protocol import CodeSource
from storage.config.settings import FunctionSettings, Settings

MINE = CodeSource(path="/data/functions/mine.py", text=b"os.environ['TOKEN'], os.environ['PATH']")
NAMED = Settings(functions={"mine": FunctionSettings(["TOKEN"])})
SECRETS = {
    "TOKEN": "t0ken", "MONGO_PASSWORD": "s3cret", "PGPASSWORD": "s3cret",
    "AWS_SECRET_ACCESS_KEY": "k", "https_proxy": "http://me:s3cret@proxy:3128",
    "HOURSIGHT_KEY": "hs_1",
}  # fmt: skip
ORDINARY = {
    "PATH": "/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", "TZ": "UTC",
    "PGPASSFILE": "/root/.pgpass", "HTTPS_PROXY": "http://proxy:3128",
    "OMP_NUM_THREADS": "1", "HOURSIGHT_DATA": "/data",
}  # fmt: skip


def test_a_function_gets_no_secret() -> None:
    assert worker_environment(MINE, Settings(), SECRETS | ORDINARY) == ORDINARY


def test_a_function_gets_the_secret_that_its_settings_name() -> None:
    expected = ORDINARY | {"TOKEN": "t0ken"}
    assert worker_environment(MINE, NAMED, SECRETS | ORDINARY) == expected
    another = CodeSource(path="/data/functions/another.py")
    assert worker_environment(another, NAMED, SECRETS | ORDINARY) == ORDINARY


@pytest.mark.parametrize(
    "source",
    [CodeSource(module="functions.connectors.host"), CodeSource(path="/data/sources/mine.toml")],
)
def test_a_source_of_ours_reads_the_secrets_that_its_file_names(source: CodeSource) -> None:
    assert worker_environment(source, Settings(), SECRETS) == SECRETS


def test_a_variable_that_a_function_reads_and_does_not_get_is_known() -> None:
    assert unnamed_variables(MINE, Settings(), SECRETS | ORDINARY) == ["TOKEN"]
    assert unnamed_variables(MINE, NAMED, SECRETS | ORDINARY) == []
