"""What a body may cost before it is refused."""

import pytest

from snoop_operator.ingest.body import MAX_INFLATED, BodyError, parse
from snoop_operator.store.interface import PodKey


def test_a_small_body_of_very_many_values_is_refused_before_it_is_parsed() -> None:
    body = b'{"x":[' + b"[]," * 700_000 + b"[]]}"
    assert len(body) < MAX_INFLATED
    with pytest.raises(BodyError, match="values: split it") as refused:
        parse(body, PodKey("ns", "pod", "u1"))
    assert refused.value.status == 413
