"""Everything that can be checked before training; images are read, nothing is written and no weights are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.memory import Memory
from studies.errors import StudyError
from studies.spec import study_file
from studies.spec.planner import Planner
from studies.spec.study_file import StudySpec
from studies.study import earlier
from studies.study.models import base_model_problems, encoder_problems
from trainer.bases import base_model
from trainer.data import dataset as datasets
from trainer.data import long_captions
from trainer.data.dataset import Dataset
from trainer.data.images import DataError
from trainer.lora_files import merging
from trainer.plans.data import DataPlan


def examine(path: Path, *, begins: bool = True) -> tuple[StudySpec, Dataset]:
    """Checks a study file, and what it names.

    Args:
        path: of the study file.
        begins: whether what only a new study needs must be there too, see ``check_begins``.

    Raises:
        StudyError: with all problems of one kind at a time: the file's, then the base model's and the data's.
    """
    spec = study_file.load(path)
    plan = spec.shared_plan
    problems = base_model_problems(plan, spec.plan, spec.space.parameters)
    problems += merging.problems(plan.base.loras, plan.lora.start)
    problems += encoder_problems(spec.judge) + (earlier.named_problems(spec) if begins else [])
    dataset = read_study_images(spec, problems)
    Planner(spec, dataset, 0).check()
    return spec, long_captions.told(
        dataset, lambda: base_model.tokenizer(plan.base), base_model.family(plan.base).caption_tokens
    )


def check_begins(memory: Memory, spec: StudySpec) -> None:
    """Earlier studies must be where the study file says until this one has learnt from them, no longer.

    Raises:
        StudyError: with those that are not.
    """
    if earlier.remembered(memory) is None and (problems := earlier.named_problems(spec)):
        raise StudyError(problems)


def read_study_images(spec: StudySpec, problems: Sequence[str] = ()) -> Dataset:
    """The images of a study, split, and perhaps dealt into folds.

    Args:
        spec: of the study.
        problems: what is wrong already; told together with what is wrong with the images.

    Raises:
        StudyError: there is any problem.
    """
    split = spec.split
    shares, seed = (split.validation, split.test), max(spec.study.seed, 0)
    folds = None if split.folds == "auto" else split.folds
    return read_images(spec.shared_plan.data, shares, seed, folds, problems)


def read_images(
    plan: DataPlan,
    shares: tuple[float, float],
    seed: int,
    folds: int | None,
    problems: Sequence[str] = (),
) -> Dataset:
    """Images as a plan trains on them.

    Args:
        plan: where they are; its ``fold`` is held out.
        shares: of validation and test.
        seed: of the split.
        folds: how many the images are dealt into; None decides by how many there are.
        problems: what is wrong already; told together with what is wrong with the images.

    Raises:
        StudyError: there is any problem.
    """
    try:
        dataset = datasets.read(plan, shares, seed, folds).fold(plan.fold)
    except DataError as error:
        raise StudyError([*problems, *error.problems]) from error
    if problems:
        raise StudyError(list(problems))
    return dataset
