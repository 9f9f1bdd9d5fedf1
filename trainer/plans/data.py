"""The section [plan.data]."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from trainer.plans.fields import Frozen, assigned, field, means, same, shared

LatentCache = Literal["memory", "disk", "off"]
TokenLength = Literal[75, 150, 225]


class DataPlan(Frozen):
    """Which images are shown, how often and in what company."""

    folder: Path | None = shared(
        None, means("train_data_dir", "image_dir", row="folder N_name", may_change=True)
    )
    """Folder with the sub-folders ``N_name``."""
    folders: tuple[Path, ...] = shared((), means("image_dir", row="several folders", may_change=True))
    """Further folders of that kind."""
    concepts: Path | None = shared(
        None, means("datasets.subsets", row="concepts list (JSON)", may_change=True)
    )
    """JSON file that lists concepts, each with its own images, repeats, prompts and caption rules."""
    reg_folder: Path | None = shared(
        None, means("reg_data_dir", "is_reg", row="regularisation images", may_change=True)
    )
    """Regularisation images: a folder with the sub-folders ``N_class``; concepts may bring their own."""
    resolution: int = shared(512, means("resolution", unit="pixels", place="dataset"), ge=16)
    """Side of the training square in pixels; with buckets, the square root of their area."""
    enable_bucket: bool = shared(False, same("enable_bucket", row="aspect buckets", place="dataset"))
    """Bring each image to the size of about that area whose aspect ratio is nearest to its own."""
    min_bucket_reso: int = shared(256, same("min_bucket_reso", unit="pixels", place="dataset"), ge=16)
    """Shortest bucket side in pixels."""
    max_bucket_reso: int = shared(1024, same("max_bucket_reso", unit="pixels", place="dataset"), ge=16)
    """Longest bucket side in pixels."""
    bucket_reso_steps: int = shared(64, same("bucket_reso_steps", unit="pixels", place="dataset"), ge=1)
    """Grid of bucket sides in pixels."""
    bucket_no_upscale: bool = shared(False, same("bucket_no_upscale", place="dataset"))
    """No image is enlarged: its bucket follows from its own size, cut down to the grid."""
    repeats: int | None = field(
        None, means("num_repeats", "dataset_repeats", unit="times an epoch", row="repeats"), ge=1
    )
    """How often an epoch shows each image; None takes the N of the folder ``N_name``."""
    epochs: int = field(
        10, means("max_train_epochs", "max_train_steps", unit="epochs", row="epochs; total steps"), ge=1
    )
    """Passes over images x repeats; a checkpoint is written and scored after each."""
    batch_size: int = field(1, same("batch_size", "train_batch_size", unit="images", place="dataset"), ge=1)
    """Images per optimiser step."""
    shuffle_caption: bool = field(False, same("shuffle_caption", place="subset"))
    """Shuffle the comma-separated tags at every presentation."""
    keep_tokens: int = field(0, same("keep_tokens", unit="tags", place="subset"), ge=0)
    """How many leading tags stay in place while the others are shuffled or dropped."""
    caption_dropout: float = field(
        0.0,
        same("caption_dropout_rate", unit="share of presentations", row="caption dropout", place="subset"),
        ge=0,
        le=1,
    )
    """Share of presentations with an empty caption."""
    tag_dropout: float = field(
        0.0, same("caption_tag_dropout_rate", unit="probability", place="subset"), ge=0, le=1
    )
    """Chance of each tag after the kept ones to be left out of a presentation."""
    weighted_captions: bool = shared(False, same("weighted_captions", row="token emphasis"))
    """Read ``(word:1.3)``, ``(word)`` and ``[word]`` as emphasis of the word's embedding."""
    restore_emphasis: bool = shared(False, means(row="token emphasis"))
    """Scale an emphasised caption so that the mean of its embeddings stays, as A1111 and sd-scripts before 0.10 do."""
    max_token_length: TokenLength = shared(75, means("max_token_length", unit="tokens"))
    """Tokens of a caption that count: one, two or three windows of the text encoder."""
    pad_tokens: bool = shared(True, means(row="pad tokens"))
    """Pad every caption to ``max_token_length``; else to the windows that the longest caption needs."""
    flip: bool = field(False, same("flip_aug", row="horizontal flip", place="subset"))
    """Mirror half of all presentations left to right."""
    random_crop: bool = field(False, same("random_crop", row="random crop, centre crop", place="subset"))
    """Crop what exceeds the training size at a random place instead of around the centre."""
    rotation_degrees: float = field(0.0, means(unit="degrees", row="small rotation"), ge=0, le=45)
    """Largest angle, either way, by which a presentation is turned; no corner is left empty."""
    zoom: float = field(0.0, means(unit="share", row="scaling"), ge=0, le=1)
    """Largest additional scaling of a presentation: 0.1 shows the image 1 to 1.1 times as large."""
    colour_jitter: float = field(
        0.0, means("color_aug", unit="share", row="colour augmentation", place="subset"), ge=0, lt=1
    )
    """Brightness, contrast and saturation are each multiplied by up to 1 +- this."""
    prior_loss_weight: float = field(1.0, same("prior_loss_weight", unit="factor"), ge=0, le=100)
    """Factor on the loss of regularisation images."""
    prior_loss_epochs: int | None = field(
        None, means(unit="epochs", row="scaled prior loss, prior loss target"), ge=1
    )
    """Epochs over which that factor falls linearly to ``prior_loss_min_weight``; None lets it stay."""
    prior_loss_min_weight: float = field(0.0, means(unit="factor", row="prior loss, minimum weight"), ge=0)
    """Where the fall of the prior loss weight ends."""
    cache_latents: LatentCache = shared(
        "disk", means("cache_latents", "cache_latents_to_disk", row="latent cache", may_change=True)
    )
    """Where encoded images are kept: on disk and in memory, in memory alone, or nowhere."""
    fold: int | None = assigned(None, means(row="k-fold"), ge=-1)
    """Which fold of a k-fold split is held out, from 0; None holds out the split's validation side, -1 none at all
    but the test side."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    @property
    def varies_captions(self) -> bool:
        """Whether presentations of an image hear different words, so that they are encoded while training lasts."""
        return self.shuffle_caption or self.tag_dropout > 0

    @property
    def varies_views(self) -> bool:
        """Whether images are encoded while training lasts: each is shown in many ways, or latents are not kept."""
        changes = self.random_crop or self.rotation_degrees > 0 or self.zoom > 0 or self.colour_jitter > 0
        return changes or self.cache_latents == "off"

    @property
    def weighs_prior(self) -> bool:
        """Whether something other than the plain weight 1 is asked for regularisation images."""
        return self.prior_loss_weight != 1 or self.prior_loss_epochs is not None

    def _problems(self) -> Iterator[str]:
        if self.folder is None and not self.folders and self.concepts is None:
            yield "there are no images: give folder, folders or concepts"
        if self.keep_tokens and not (self.shuffle_caption or self.tag_dropout):
            yield (
                f"keep_tokens = {self.keep_tokens} acts only with shuffle_caption = true or tag_dropout; "
                "set that, or remove keep_tokens"
            )
        if self.min_bucket_reso > self.max_bucket_reso:
            yield (
                f"min_bucket_reso must be at most max_bucket_reso, "
                f"but got {self.min_bucket_reso} > {self.max_bucket_reso}"
            )
        for name in ("min_bucket_reso", "max_bucket_reso"):
            if self.enable_bucket and getattr(self, name) % self.bucket_reso_steps:
                yield (
                    f"{name} must be a multiple of bucket_reso_steps = {self.bucket_reso_steps}, "
                    f"but got {getattr(self, name)}"
                )
        if self.bucket_no_upscale and not self.enable_bucket:
            yield "bucket_no_upscale = true acts only with enable_bucket = true; set that, or remove it"
        if self.weighs_prior and self.reg_folder is None and self.concepts is None:
            yield (
                "prior_loss_weight and prior_loss_epochs act only on regularisation images; "
                "give reg_folder, or concepts with a class_data_dir"
            )
        if self.prior_loss_epochs is None and self.prior_loss_min_weight:
            yield (
                f"prior_loss_min_weight = {self.prior_loss_min_weight} acts only with prior_loss_epochs; "
                "set that, or remove it"
            )
        if self.prior_loss_epochs is not None and self.prior_loss_min_weight > self.prior_loss_weight:
            yield (
                f"prior_loss_min_weight must be at most prior_loss_weight, "
                f"but got {self.prior_loss_min_weight} > {self.prior_loss_weight}"
            )
