"""What a first study rests on: its base model, and what fits into this machine's card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from studies.commands import init_choices
from studies.commands.cards import at_hand, cards
from studies.commands.init_choices import Ground
from studies.commands.survey import Survey
from studies.errors import StudyError
from studies.spec.paths import is_hub_name
from studies.spec.sections import JudgeSection, PackSection
from trainer.bases import find
from trainer.bases.errors import BaseModelError
from trainer.plan import TrainingPlan
from trainer.plans.base import BasePlan


def survey_base(name: str) -> tuple[Ground, bool]:
    """The base model, and whether only its name is known: a hub model is not fetched for this.

    Raises:
        StudyError: there is no such base model.
    """
    import torch

    cuda = torch.cuda.is_available()
    half = "bf16" if cuda and torch.cuda.is_bf16_supported() else "fp16"
    path = Path(name).expanduser()
    if not path.exists() and is_hub_name(name):
        family = find.family_of(name)
        return Ground(name, family, family.native_side, family.side_step, cuda, half), True
    try:
        source = find.find(BasePlan(path=path.resolve()))
        side, step = find.native_side(source), find.side_step(source)
    except BaseModelError as error:
        raise StudyError(f"--base: {error}") from error
    place, distilled = str(path.resolve()), source.distilled
    return Ground(place, source.family, side, step, cuda, half, told_distilled=distilled), False


def fitted(found: Survey, ground: Ground, clip: str) -> Ground:
    """The ground with what fits of the heaviest trial that will be searched; unchanged where there is no card."""
    gib = at_hand()
    if gib is None or ground.tiny:
        return ground
    base = BasePlan(path=Path(ground.path))
    plan = TrainingPlan.model_validate(
        {
            "base": base,
            "data": {
                "folder": found.folder,
                "resolution": init_choices.resolution(found, ground).value,
                "batch_size": init_choices.batches(found)[-1],
                "shuffle_caption": found.tagged,
            },
            "lora": {"rank": init_choices.ranks(ground)[-1], "text_encoder": True},
            "compute": {"mixed_precision": ground.half},
        }
    )
    most = PackSection().limit
    (card,) = cards(plan, (), JudgeSection(clip=clip), most, (gib,), find.find(base))
    return replace(ground, fit=card.fit, gib=gib)
