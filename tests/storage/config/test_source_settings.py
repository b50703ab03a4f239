import pytest

from storage.config.source_settings import FunctionSettings, SimulatorSettings


@pytest.mark.parametrize("name", ["", "API TOKEN", "TOKEN=1", "2ND"])
def test_a_variable_that_no_environment_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a name such as 'API_TOKEN'"):
        FunctionSettings(environment=["TOKEN", name])


@pytest.mark.parametrize("servers", [0, 10_001])
def test_a_simulated_fleet_has_a_size_that_can_be_simulated(servers: int) -> None:
    with pytest.raises(ValueError, match=f"servers is {servers}, expected 1 to 10000"):
        SimulatorSettings(servers=servers)
