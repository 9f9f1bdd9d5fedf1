"""Which programs cannot use a LoRA file of an algorithm, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from studies.text.i18n import ENGLISH, Translator
from trainer.lora_files.readers import Gap, gaps
from trainer.plan import TrainingPlan
from trainer.plan_paths import KEY
from trainer.plans.network import LoraPlan


def of_file(facts: Mapping[str, str], kohya: bool = True, say: Translator = ENGLISH) -> list[str]:
    """What to know before a file is used.

    Args:
        facts: its metadata; of a file that no study made, nothing is known.
        kohya: whether its keys are kohya's.
        say: the language.
    """
    text = facts.get(KEY)
    return [] if text is None else list(of_plan(TrainingPlan.model_validate_json(text).lora, kohya, say))


def of_plan(lora: LoraPlan, kohya: bool = True, say: Translator = ENGLISH) -> Iterator[str]:
    """What to know of the files that a plan will leave, a sentence each."""
    arguments = {"dora": lora.dora, **lora.algorithm_args.get(lora.algorithm, {})}
    for gap in gaps(lora.algorithm, arguments, lora.conv_rank is not None, kohya):
        what, readers = _what(gap), ", ".join(gap.readers)
        if gap.ignored:
            yield say(
                "{what} is not read by {readers}: the file has no effect there.", what=what, readers=readers
            )
        else:
            yield say(
                "{what} is read wrongly by {readers}: the file has another effect there.",
                what=what,
                readers=readers,
            )


def _what(gap: Gap) -> str:
    """An algorithm in plans' words, with the argument that matters."""
    name = gap.algorithm if gap.argument is None else f"{gap.algorithm} ({gap.argument})"
    return f"{name} 3x3" if gap.convolutions else name
