import onnxruntime
import pytest

from functions.engine.forecaster import SHIPPED
from storage.model.model_seal import MARK, is_intact, sealed

MODEL = bytes(range(200))


@pytest.mark.parametrize("bit", range(0, 8 * len(MODEL), 111))
def test_a_flipped_bit_in_a_sealed_model_is_noticed(bit: int) -> None:
    content = bytearray(sealed(MODEL))
    assert is_intact(bytes(content))
    content[bit // 8] ^= 1 << bit % 8
    assert not is_intact(bytes(content))


def test_a_flipped_bit_in_the_hash_is_noticed() -> None:
    content = bytearray(sealed(MODEL))
    content[-1] ^= 1
    assert not is_intact(bytes(content))


def test_a_model_without_a_seal_is_taken_as_it_is() -> None:
    assert is_intact(MODEL)
    assert is_intact(b"")


def test_a_model_is_sealed_once() -> None:
    assert sealed(sealed(MODEL)) == sealed(MODEL)
    assert len(sealed(MODEL)) == len(MODEL) + len(MARK) + 64


def test_other_programs_read_a_sealed_model() -> None:
    content = sealed(SHIPPED.read_bytes())
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["hoursight_sha256"] == content[-64:].decode()
