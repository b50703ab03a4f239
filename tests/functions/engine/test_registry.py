import pytest

from functions.engine import registry
from storage.config.settings import HostSettings, Settings, SimulatorSettings, SourceSettings


def turned_on(host: bool, simulator: bool) -> list[str]:
    sources = SourceSettings(HostSettings(host), SimulatorSettings(simulator))
    return [each.name for each in registry.adapters(Settings(sources=sources))]


def test_the_functions_of_the_folder_are_found_once_each() -> None:
    names = [each.name for each in registry.thinkers()]
    assert {"rollup", "forecast", "risk"} <= set(names)
    assert len(names) == len(set(names))


def test_adapters_are_no_thinkers() -> None:
    assert not {"host", "simulator"} & {each.name for each in registry.thinkers()}


@pytest.mark.parametrize("host", [True, False])
@pytest.mark.parametrize("simulator", [True, False])
def test_the_settings_turn_adapters_on_and_off(host: bool, simulator: bool) -> None:
    wanted = ["host"] * host + ["simulator"] * simulator
    assert turned_on(host, simulator) == wanted


def test_the_host_alone_is_on_by_default() -> None:
    assert [each.name for each in registry.adapters(Settings())] == ["host"]


@pytest.mark.parametrize("name", ["forecast", "simulator"])
def test_a_function_is_found_by_its_name_turned_on_or_not(name: str) -> None:
    assert registry.find(name).name == name


def test_an_unknown_name_lists_the_ones_there_are() -> None:
    expected = "no function 'forcast'; there are forecast, host, .*simulator"
    with pytest.raises(registry.UnknownFunction, match=expected):
        registry.find("forcast")


def test_every_function_says_what_it_is_for() -> None:
    assert all(each.purpose for each in registry.thinkers())
