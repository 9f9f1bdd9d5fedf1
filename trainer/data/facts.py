"""What a LoRA file tells about its data, under sd-scripts' names (pure)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from trainer.data.dataset import Dataset
from trainer.plans.data import DataPlan


def data_facts(plan: DataPlan, dataset: Dataset) -> dict[str, object]:
    """The ``ss_*`` entries about images, captions and regularisation."""
    return {
        "ss_num_reg_images": len(dataset.regularisation),
        "ss_dataset_dirs": _folders(dataset, dataset.split.train),
        "ss_reg_dataset_dirs": _folders(dataset, dataset.regularisation),
        "ss_prior_loss_weight": plan.prior_loss_weight,
        "ss_bucket_no_upscale": plan.bucket_no_upscale,
        "ss_min_bucket_reso": plan.min_bucket_reso if plan.enable_bucket else None,
        "ss_max_bucket_reso": plan.max_bucket_reso if plan.enable_bucket else None,
        "ss_bucket_info": _bucket_info(dataset) if plan.enable_bucket else None,
        "ss_flip_aug": plan.flip,
        "ss_random_crop": plan.random_crop,
        "ss_color_aug": plan.colour_jitter > 0,
        "ss_caption_dropout_rate": plan.caption_dropout,
        "ss_caption_tag_dropout_rate": plan.tag_dropout,
        "ss_max_token_length": plan.max_token_length if plan.max_token_length > 75 else None,
        "ss_cache_latents": plan.cache_latents != "off",
    }


def _folders(dataset: Dataset, which: Sequence[int]) -> str:
    found: dict[str, dict[str, int]] = {}
    for i in which:
        example = dataset.examples[i]
        entry = found.setdefault(example.path.parent.name, {"n_repeats": example.repeats, "img_count": 0})
        entry["img_count"] += 1
    return json.dumps(found)


def _bucket_info(dataset: Dataset) -> str:
    """Training images of each bucket, repeats counted, and by how much their width over height differs from it."""
    cards = dataset.deck.cards
    counts = Counter(dataset.sizes[i] for i in cards)
    buckets = {
        str(place): {"resolution": list(size), "count": count * dataset.deck.repeats}
        for place, (size, count) in enumerate(sorted(counts.items()))
    }
    errors = [abs(_aspect(dataset.sizes[i]) - _aspect(dataset.examples[i].size)) for i in cards]
    return json.dumps({"buckets": buckets, "mean_img_ar_error": sum(errors) / len(errors)})


def _aspect(size: tuple[int, int]) -> float:
    return size[0] / size[1]
