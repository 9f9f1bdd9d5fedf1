"""A short, repeatable form of ``benchmarks.fuzz``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CASES = 60
NAMES = [
    *("study files", "captions", "LoRA headers", "sd-scripts", "other trainers"),
    *("LoRA dialects", "PEFT folders", "LoRA metadata", "LoRA names", "sample names"),
    *("image files", "image folders", "caption tables"),
]


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
    described = importlib.util.spec_from_file_location("fuzz", path)
    assert described is not None and described.loader is not None
    module = importlib.util.module_from_spec(described)
    sys.modules["fuzz"] = module
    described.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_made_up_input_ends_in_a_result_or_a_sentence(
    name: str, fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = fuzz.fuzz(fuzz.TARGETS[name](tmp_path), 60, first=7, most=CASES)
    assert outcome.findings == {}
    assert outcome.cases >= CASES
    assert 0 < outcome.refused < outcome.cases, "some cases are read, some are refused"


def test_all_targets_are_fuzzed_and_a_defect_is_found_once(fuzz: ModuleType) -> None:
    assert list(fuzz.TARGETS) == NAMES

    def read(case: Any) -> None:
        if len(case) > 2:
            raise KeyError(case)

    from hypothesis import strategies

    outcome = fuzz.fuzz(fuzz.Target(strategies.binary(max_size=9), read), 20, most=50)
    ((place, (case, said)),) = outcome.findings.items()
    assert place.startswith("KeyError at test_fuzz.py") and len(case) < 12 and "Traceback" in said
