import pytest

from storage.config.lake_settings import LakeSettings


@pytest.mark.parametrize("memory", ["128MB", "4GB"])
def test_readers_get_128_mb_or_more(memory: str) -> None:
    assert LakeSettings(reader_memory=memory).reader_memory == memory


@pytest.mark.parametrize("memory", ["127MB", "0GB", "4 GB", "all"])
def test_another_memory_is_refused(memory: str) -> None:
    with pytest.raises(ValueError, match=f"reader_memory is '{memory}', expected .* '512MB'"):
        LakeSettings(reader_memory=memory)


def test_a_password_of_the_catalog_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="catalog contains a password") as error:
        LakeSettings(catalog="postgres:postgresql://me:hidden@db/x")
    assert "hidden" not in str(error.value)
