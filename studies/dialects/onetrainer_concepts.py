"""OneTrainer's concepts: its folders of images, as the subsets of a data set file."""

from __future__ import annotations

from typing import Any

from studies.dialects.translation import Foreign, Translation, asks
from studies.errors import shown


def put_concepts(concepts: Any, out: Translation) -> None:
    """Concepts are folders; their list may lie in a file of its own, which --images replaces."""
    if not isinstance(concepts, list):
        return
    subsets = []
    for place, concept in enumerate(concepts):
        if not isinstance(concept, dict):
            out.problems.append(f"concepts[{place}] must be a table, but got {shown(concept)}.")
            continue
        subset = _concept(Foreign(concept), f"concepts[{place}]", out)
        if subset:
            subsets.append(subset)
    out.datasets = {"datasets": [{"subsets": subsets}]}


def _concept(source: Foreign, name: str, out: Translation) -> dict[str, Any] | None:
    kind = source.text("type", "STANDARD")
    if not source.on("enabled", default=True):
        return None
    if kind == "VALIDATION":
        out.refuse(name, "a validation concept is left out; [split] says what is held out")
        return None
    repeats = source.number("balancing", source.number("repeats", 1))
    whole = max(1, round(repeats))
    if repeats != whole or source.text("balancing_strategy", "REPEATS") != "REPEATS":
        out.refuse(f"{name}.balancing", f"{repeats:g} is no whole number of repeats, {whole} is taken")
    subset: dict[str, Any] = {"image_dir": source.text("path"), "num_repeats": whole}
    if source.on("text.enable_tag_shuffling"):
        subset |= {"shuffle_caption": True, "keep_tokens": source.take("text.keep_tags_count", 1)}
    if source.on("text.tag_dropout_enable"):
        subset |= {"caption_tag_dropout_rate": source.take("text.tag_dropout_probability", 0.0)}
    if source.on("image.enable_random_flip") or source.on("image.enable_fixed_flip"):
        subset["flip_aug"] = True
    if kind == "PRIOR_PREDICTION":
        out.refuse(name, "PRIOR_PREDICTION is not supported, its images are taken as regularisation images")
        subset["is_reg"] = True
    text = source.text("text.prompt_source", "sample")
    if text != "sample":
        out.refuse(f"{name}.text.prompt_source", f"{text!r} is not supported; captions lie beside the images")
    for key, value in source.rest().items():
        if key.startswith("image.enable_") and asks(value) and key != "image.enable_crop_jitter":
            out.refuse(f"{name}.{key}", "not supported")
    return subset
