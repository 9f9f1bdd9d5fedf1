"""Tests of working in portions that fit into memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trainer.limits import Limits


def squares(
    most: int, tried: list[int], error: type[Exception] = torch.OutOfMemoryError
) -> Callable[[slice], Tensor]:
    """Work that runs out of memory above so many rows."""

    def work(take: slice) -> Tensor:
        rows = torch.arange(take.start, take.stop)
        tried.append(len(rows))
        if len(rows) > most:
            raise error("can't allocate memory")
        return rows**2

    return work


def test_no_portion_is_larger_than_asked_and_none_is_left_out() -> None:
    tried: list[int] = []
    found = Limits().run("work", 10, 4, squares(99, tried))
    assert found.tolist() == [n**2 for n in range(10)]
    assert tried == [4, 4, 2]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_where_memory_runs_out_the_rows_are_halved_until_they_fit(error: type[Exception]) -> None:
    tried: list[int] = []
    found = Limits().run("work", 12, 9, squares(2, tried, error))
    assert found.tolist() == [n**2 for n in range(12)]
    assert tried == [9, 4, *[2] * 6]


def test_what_was_found_out_is_remembered_for_that_work_alone() -> None:
    limits, tried = Limits(), list[int]()
    limits.run("work", 8, 8, squares(3, []))
    limits.run("work", 8, 8, squares(3, tried))
    limits.run("other", 8, 8, squares(8, tried))
    assert tried == [2, 2, 2, 2, 8]


def test_a_single_row_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Limits().run("work", 4, 4, squares(0, []))


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def wrong(take: slice) -> Tensor:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        Limits().run("work", 4, 4, wrong)
