"""SimpleTuner's data backends: its folders of images, as the subsets of a data set file."""

from __future__ import annotations

from typing import Any

from studies.dialects.translation import Foreign, Translation

_EMBEDDINGS = ("text_embeds", "image_embeds", "conditioning_image_embeds")
_IDLE = (
    "id", "cache_dir*", "crop*", "minimum_image_size", "maximum_image_size", "target_downsample_size", "text_embeds",
    "vae_cache_clear_each_epoch", "metadata_backend", "skip_file_discovery", "preserve_data_backend_cache",
    "resolution_type", "instance_prompt", "default", "write_batch_size",
)  # fmt: skip


def put_backends(entries: Any, out: Translation) -> None:
    """Sets the data set that a list of backends describes; those of embeddings hold no images."""
    found = [Foreign(entry) for entry in entries]
    images = [source for source in found if source.text("dataset_type", "image") not in _EMBEDDINGS]
    subsets = [subset for source in images if (subset := _subset(source, out))]
    out.datasets = {"datasets": [{"subsets": subsets}]}


def _subset(source: Foreign, out: Translation) -> dict[str, Any] | None:
    name = source.text("id", "a backend")
    kind, place = source.text("dataset_type", "image"), source.text("type", "local")
    if source.on("disabled"):
        return None
    if kind != "image" or place != "local":
        out.refuse(name, f"{kind} of type {place} is not supported, it is left out")
        return None
    size = source.take("resolution")
    more = int(source.number("repeats"))
    subset: dict[str, Any] = {"image_dir": source.text("instance_data_dir"), "num_repeats": more + 1}
    if size is not None and source.text("resolution_type", "pixel_area") != "area":
        subset |= {"resolution": size}
    elif size is not None:
        out.refuse(f"{name}.resolution", f"{size} megapixels: the configuration's resolution is taken")
    if more:
        out.convert(f"{name}.repeats", f"{more} further times are num_repeats = {more + 1}")
    if source.on("is_regularisation_data") or source.on("is_regularization_data"):
        subset |= {"is_reg": True}
    if source.on("caption_shuffle.enable"):
        subset |= {"shuffle_caption": True}
    strategy = source.text("caption_strategy", "textfile")
    if strategy == "instanceprompt" or source.on("only_instance_prompt"):
        subset |= {"class_tokens": source.text("instance_prompt")}
        out.convert(
            f"{name}.instance_prompt", "stands for the caption of every image without a .txt beside it"
        )
    elif strategy != "textfile":
        out.refuse(
            f"{name}.caption_strategy", f"{strategy!r} is not supported; captions lie beside the images"
        )
    if source.number("probability", 1) != 1:
        out.refuse(f"{name}.probability", "not supported, all images are shown")
    out.remainder(source, dict.fromkeys(_IDLE, "the plan says it for all images"))
    return subset
