import pytest

from channels.cli.link import json_object
from contracts.errors import BadInput


def test_an_object_is_read() -> None:
    assert json_object('{"a": [1]}', "--input") == {"a": [1]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{'a': 1}", "line 1, column 2"),
        ('{"a":\n  }', "line 2, column 3"),
        ("", "line 1, column 1"),
        ("[]", "a JSON list"),
        ("null", "a JSON null"),
        ('{"a": NaN}', "NaN is no JSON value"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_object_is_refused_with_where_and_what_is_right(text: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        json_object(text, "--input")
    assert said in str(refused.value)
    assert 'right is an object: \'{"name": "value"}\'' in str(refused.value)
