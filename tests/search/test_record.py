import math

from search.record import plain


def test_numbers_that_json_lacks_become_none() -> None:
    assert plain({"a": math.nan, "b": [1.5, math.inf, {"c": -math.inf}], "d": (1, True, "x", None)}) == {
        "a": None,
        "b": [1.5, None, {"c": None}],
        "d": [1, True, "x", None],
    }
