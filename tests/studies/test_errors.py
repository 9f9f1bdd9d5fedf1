"""Trouble that a user can mend, in sentences."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from search.space import SpaceError
from search.storage_url import StorageError
from studies.errors import LONGEST, StudyError, in_sentences, memory_told, shown
from trainer.bases.errors import BaseModelError
from trainer.data.images import DataError


@pytest.mark.parametrize(
    ("error", "problems"),
    [
        (BaseModelError("no base."), ["no base."]),
        (StorageError("no database."), ["no database."]),
        (SpaceError(["one.", "two."]), ["one.", "two."]),
        (DataError(["no images."]), ["no images."]),
        (FileNotFoundError(2, "No such file", "x.toml"), ["x.toml: No such file."]),
        (MemoryError(), ["Memory ran out though only one trial was left in it"]),
    ],
)
def test_what_a_user_can_mend_becomes_sentences(error: Exception, problems: list[str]) -> None:
    with pytest.raises(StudyError) as caught, in_sentences():
        raise error
    assert len(caught.value.problems) == len(problems)
    for found, wanted in zip(caught.value.problems, problems, strict=True):
        assert found.startswith(wanted)


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(KeyError), in_sentences():
        raise KeyError("x")
    with pytest.raises(RuntimeError, match="other"), memory_told("memory ran out"):
        raise RuntimeError("other")


def test_memory_that_ran_out_is_told_in_the_callers_words() -> None:
    with pytest.raises(StudyError, match="lower the rank"), memory_told("lower the rank"):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_every_problem_ends_in_a_full_stop() -> None:
    assert StudyError(["one", "two?", "three."]).problems == ["one.", "two?", "three."]


def test_long_values_are_cut() -> None:
    assert shown("a") == "'a'"
    assert len(shown("a" * 999)) == LONGEST


def test_who_only_raises_an_error_loads_no_heavy_library() -> None:
    code = (
        "import sys, studies.errors\n"
        "print({'torch', 'optuna', 'transformers', 'diffusers'} & set(sys.modules))"
    )
    home = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
