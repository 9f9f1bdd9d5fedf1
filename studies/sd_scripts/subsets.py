"""Images as the subsets of sd-scripts' data set files (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from studies.spec.toml import comment, section
from trainer.data.folders import ImageFolder


def tables(sources: Sequence[ImageFolder], repeats: int | None) -> list[dict[str, Any]]:
    """A subset for each source.

    Args:
        sources: training and regularisation images.
        repeats: ``data.repeats``; None takes each source's own.
    """
    common = math.gcd(*(source.repeats for source in sources if not source.regularisation))
    return [_subset(source, repeats, common) for source in sources]


def text(general: Mapping[str, Any], dataset: Mapping[str, Any], subsets: list[dict[str, Any]]) -> str:
    """A data set file with one data set.

    Args:
        general: what all its subsets share.
        dataset: sizes and batches.
        subsets: its images.
    """
    return "".join(
        [
            comment(["For sd-scripts' --dataset_config."]) + "\n",
            section("[general]", {**general, "caption_extension": ".txt"}),
            section("[[datasets]]", dataset),
            *(section("[[datasets.subsets]]", subset) for subset in subsets),
        ]
    )


def _subset(source: ImageFolder, repeats: int | None, common: int) -> dict[str, Any]:
    times = source.repeats
    if repeats is not None and not source.regularisation:
        times = source.repeats // common * repeats
    rules = {
        "shuffle_caption": source.rules.shuffle,
        "keep_tokens": source.rules.keep_tokens,
        "caption_dropout_rate": source.rules.caption_dropout,
        "caption_tag_dropout_rate": source.rules.tag_dropout,
    }
    return {
        "image_dir": str(source.images[0].parent),
        "num_repeats": times,
        "class_tokens": source.words,
        **({"is_reg": True} if source.regularisation else {}),
        **({"metadata_file": str(source.metadata_file)} if source.metadata_file else {}),
        **{key: rule for key, rule in rules.items() if rule is not None},
    }
