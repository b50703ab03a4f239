"""Files of query results; the types are tested in tests/storage/query/test_result_files.py."""

import pyarrow as pa
import pytest

from web.display.exports import FORMATS
from web.display.query_files import ENCODERS, TRUNCATED, query_response


@pytest.mark.parametrize("extension", FORMATS)
def test_each_format_says_whether_it_is_whole(extension: str) -> None:
    answer = query_response(pa.table({"a": [1]}), extension, truncated=True)
    assert answer.headers[TRUNCATED] == "true"
    assert answer.media_type == FORMATS[extension][1]


def test_every_format_has_an_encoder() -> None:
    assert ENCODERS.keys() == FORMATS.keys()
