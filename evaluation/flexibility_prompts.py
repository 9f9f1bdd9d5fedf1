"""Prompts that no data set of one subject or style holds, for asking whether other prompts are still followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

GENERAL = (
    "a photo of a dog running on a beach",
    "a red sports car parked on a city street",
    "a bowl of fruit on a wooden table, still life painting",
    "a snowy mountain under a clear blue sky",
    "a lighthouse at night, long exposure photograph",
    "portrait of an old man with a grey beard, oil painting",
    "a cup of coffee beside an open newspaper",
    "a green field with three white sheep, watercolour",
    "a crowded market with colourful umbrellas, seen from above",
    "a steam train crossing a stone bridge, black and white photograph",
    "a vase of yellow tulips at a window",
    "an astronaut floating above the earth",
)
"""For base models that know the world."""
PEOPLE = (
    "portrait of an old man with a grey beard, oil painting",
    "a young woman reading a book in a library",
    "two children playing football in a park",
    "a chef in a white apron, close-up photograph",
    "a knight in armour on horseback, watercolour",
    "a girl with short red hair, anime style",
    "a businessman in a suit crossing a street",
    "an elderly woman laughing, black and white photograph",
    "a boy in a yellow raincoat, pencil drawing",
    "a crowded market with colourful umbrellas, seen from above",
    "a dancer on a stage, long exposure photograph",
    "a snowy mountain under a clear blue sky",
)
"""Other people first, into whom a LoRA of one leaks most easily."""
OBJECTS = (
    "red heart, noto style",
    "snowman, twemoji style",
    "sun, emojione style",
    "tiger, noto style",
    "cherries, twemoji style",
    "wrapped gift, firefox style",
    "ambulance, emojione style",
    "crescent moon, noto style",
    "tomato, twemoji style",
    "drum, noto style",
    "cheese wedge, emojione style",
    "bell, firefox style",
)
"""Single drawn objects, for the embedded micro Stable Diffusion and the micro CLIP."""
THINGS = (
    "{} in deep snow",
    "{} on a sandy beach at sunset",
    "{} in front of a blue house",
    "{} among autumn leaves, watercolour",
    "{} on the moon",
    "pencil drawing of {}",
    "{} at the bottom of the sea",
    "{} seen from above",
)
"""Where one thing may stand."""
ROLES = (
    "{} riding a bicycle through a city",
    "{} in a space suit",
    "{} reading under a tree, watercolour",
    "{} in a red coat in the snow",
    "{} as a bronze statue",
    "pencil drawing of {}",
    "{} playing the guitar on a stage",
    "{} cooking in a kitchen",
)
"""What one person or character may do."""
LISTS: Mapping[str, Sequence[str]] = {"general": GENERAL, "people": PEOPLE, "objects": OBJECTS}
"""By the name that a study file gives."""


def among(scenes: Sequence[str], subject: str, prompts: Sequence[str]) -> tuple[str, ...]:
    """Scenes of a subject and prompts of anything else, in turn.

    Args:
        scenes: with "{}" for it.
        subject: what prompts call it, its trigger.
        prompts: without it.
    """
    own = [scene.format(subject) for scene in scenes]
    turns = chain.from_iterable(zip_longest(own, prompts))
    return tuple(prompt for prompt in turns if prompt is not None)


def outside(prompts: Sequence[str], captions: Sequence[str], count: int) -> tuple[str, ...]:
    """The first prompts that are not in a data set.

    A prompt is in it if a caption says the same, or all that stands before the prompt's first comma.

    Args:
        prompts: what may be asked, in order of preference.
        captions: the data set's.
        count: how many at most.
    """
    said = {caption.strip().casefold() for caption in captions}
    parts = said | {part.strip() for caption in said for part in caption.split(",")}
    found = [p for p in prompts if p.strip().casefold() not in said and _subject(p) not in parts]
    return tuple(found[:count])


def _subject(prompt: str) -> str:
    return prompt.split(",")[0].strip().casefold()
