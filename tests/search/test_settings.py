import subprocess
import sys

import pytest

from search.settings import SearchSettings


def test_every_problem_of_the_settings_is_told() -> None:
    with pytest.raises(ValueError) as raised:
        SearchSettings.model_validate(
            {
                "sampler": "tpp",
                "pruner": {"min_images": 500},
                "budget": {"trials": 1},
                "horizon_images": 400,
            }
        )
    text = str(raised.value)
    assert "Unknown sampler 'tpp'; choose one of: cmaes, gp, qmc, random, tpe." in text
    assert "pruner.min_images must be below horizon_images (400), but got 500." in text


def test_deciding_what_a_study_says_loads_neither_optuna_nor_torch() -> None:
    pure = ["space", "trial", "objective", "curve", "budget", "selection", "settings", "driver"]
    imports = ", ".join("search." + module for module in [*pure, "samplers", "pruners"])
    code = f"import sys, {imports}; print({{'optuna', 'torch'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
