"""The sections of a study file, and what they need of each other (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from evaluation import solvers
from evaluation.flexibility_prompts import LISTS
from search.budget import Budget
from search.patience import Patience
from search.samplers import sampler_problem
from studies.spec import storage_url
from studies.spec.paths import reserved
from studies.spec.storage_url import secret_problem


def cues(judge: JudgeSection) -> Sequence[str]:
    """The study file's own prompts outside the data set, or the shipped list that it names."""
    chosen = judge.outside_prompts
    return LISTS[chosen] if isinstance(chosen, str) else chosen


def weight_needs(weights: Mapping[str, float], judge: JudgeSection) -> list[str]:
    """Metrics that count in the objective but would not be measured, as sentences."""
    weighed = {name for name, weight in weights.items() if weight}
    text, images = (
        weighed & {"clip_text", "flexibility"},
        weighed & {"clip_image", "diversity", "memorisation"},
    )
    problems = []
    if judge.clip is None and (text or (images and judge.image_encoder is None)):
        blind = text if judge.image_encoder else text | images
        problems.append(f"objective weighs {', '.join(sorted(blind))}, but judge.clip names no CLIP.")
    if "diversity" in weighed and judge.seeds_per_prompt < 2:
        problems.append(
            "objective weighs diversity, which needs judge.seeds_per_prompt of at least 2, but got "
            f"{judge.seeds_per_prompt}."
        )
    if "flexibility" in weighed and not (judge.outside_prompt_count and cues(judge)):
        problems.append(
            "objective weighs flexibility, which needs judge.outside_prompt_count of at least 1, but got "
            f"{judge.outside_prompt_count}."
        )
    return problems


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Section(BaseModel):
    """Checked when it is read, never changed after; a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StudySection(Section):
    """[study]"""

    name: str
    """Names the workspace and the study in the database."""
    seed: int = Field(0, ge=-1, lt=2**63)
    """Everything random derives from it; -1 draws one, which is then recorded."""

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"must be 1-64 letters, digits, '.', '_' or '-', starting with a letter or digit, but got {name[:80]!r}"
            )
        if reserved(name) or name.endswith("."):
            raise ValueError(
                f"must not end in '.' nor be a device of Windows such as con or nul, but got {name!r}"
            )
        return name


class BudgetSection(Section):
    """[budget]"""

    trials: int | None = None
    """Most trials that are begun."""
    images: int | None = None
    """Most images that all trials together see; where small sets are dealt into folds, those of every fold."""
    minutes: float | None = None
    """Longest time that the search may take, all its runs together."""
    images_per_trial: int = Field(ge=1)
    """The horizon: most images that one trial sees."""
    gpu_seconds: float | None = None
    """Longest working time of all devices together, training and judging."""
    trials_without_gain: int = Field(0, ge=0)
    """End the search when so many trials in a row do not beat the best by more than its standard error; 0: never."""
    checkpoints_without_gain: int = Field(0, ge=0)
    """End a trial when so many of its checkpoints in a row are no better than its best before them; 0: never."""

    @model_validator(mode="after")
    def _limited(self) -> Self:
        self.limits()
        return self

    def limits(self) -> Budget:
        """What stops the search."""
        return Budget(
            trials=self.trials, images=self.images, minutes=self.minutes, gpu_seconds=self.gpu_seconds
        )

    def patience(self) -> Patience:
        """What ends a trial or the search before their time."""
        return Patience(checkpoints=self.checkpoints_without_gain, trials=self.trials_without_gain)


class PrunerSection(Section):
    """[search.pruner]"""

    name: str = "pace"
    """pace, asha, hyperband, median, percentile, wilcoxon, or none."""
    min_images: int = Field(0, ge=0)
    """Images seen at the first comparison; 0 takes a sixth of the horizon, and for pace a tenth."""
    reduction_factor: int = 3
    """One of this many trials goes on to the next rung."""
    percentile: float = 50.0
    """The percentile pruner lets go on what is among the best so many per cent of the finished trials."""


class SearchSection(Section):
    """[search]"""

    sampler: str = "tpe"
    """tpe, gp, cmaes, qmc, or random."""
    pruner: PrunerSection = PrunerSection()
    space: dict[str, dict[str, Any]]
    """Plan field -> a range ``{ low, high, log }`` or ``{ choices }``, with ``when`` if it depends on another."""

    @field_validator("sampler")
    @classmethod
    def _known(cls, name: str) -> str:
        if problem := sampler_problem(name):
            raise ValueError(problem.rstrip("."))
        return name


class SplitSection(Section):
    """[split]"""

    validation: float = Field(0.15, gt=0, lt=0.5)
    """Share of images on which checkpoints are compared."""
    test: float = Field(0.15, gt=0, lt=0.5)
    """Share of images that are used once, at the end."""
    folds: Annotated[int, Field(ge=0, le=20)] | Literal["auto"] = "auto"
    """Deal all but the test images into this many folds. Every trial is then trained once without each fold, as
    slots of one pack, and its scores on what it has not seen are pooled; the winner is trained once more on all folds.
    With ``data.fold``, only without that one. 0 for none; "auto" takes 5 with fewer than 20 images, else 0."""


class JudgeSection(Section):
    """[judge]"""

    clip: str | None = None
    """CLIP folder or hub name; None leaves CLIP scores out."""
    image_encoder: str | None = None
    """Folder or hub name of an image encoder such as DINOv2, which compares pictures in CLIP's place; CLIP still
    reads the prompts."""
    prompts: tuple[str, ...] = ()
    """Empty takes the captions of held-out images."""
    prompt_count: int = Field(4, ge=0, le=64)
    """How many captions are taken where no prompts are given."""
    seeds_per_prompt: int = Field(1, ge=1, le=16)
    """Renders of each prompt; diversity needs 2, and is measured again in the confirmation."""
    outside_prompts: tuple[str, ...] | Literal["general", "objects"] = "general"
    """Prompts that are not in the data set, or the name of a shipped list; those that stand in it are left out."""
    outside_prompt_count: int = Field(4, ge=0, le=64)
    """How many of them a trial's last checkpoint renders; 0 measures flexibility in the confirmation alone."""
    negative_prompt: str = ""
    """What pictures should not show."""
    steps: int = Field(12, ge=1, le=200)
    """Sampling steps of a render."""
    guidance: float = Field(4.0, ge=1)
    """Classifier-free guidance; 1 is none."""
    guided: float = Field(0.6, ge=0, le=1)
    """Share of the steps, from the first on, that guidance acts in: the others cost half as much."""
    timesteps: int = Field(8, ge=1, le=100)
    """Per validation image."""
    seen_images: int = Field(4, ge=0)
    """Training images on which the same loss is measured, to show the gap."""
    max_rows: int = Field(64, ge=2)
    """Most rows in one forward pass."""


EYES = {"clip": "CLIP model", "image_encoder": "image encoder"}
"""What the fingerprints of [judge]'s encoders are called, by field."""


class ConfirmSection(Section):
    """[confirm]"""

    finalists: int = Field(6, ge=1, le=32)
    """Checkpoints that are judged again."""
    timesteps: int = Field(24, ge=1, le=200)
    """Per validation image, with fresh noise."""
    prompt_count: int = Field(16, ge=0, le=64)
    """How many captions of held-out images are rendered where judge.prompts gives none."""
    seeds_per_prompt: int = Field(3, ge=1, le=32)
    """Renders of each prompt, with fresh seeds."""
    rounds: int = Field(3, ge=1, le=20)
    """Most times that finalists are measured again; it ends when no other trial is within the noise of the best."""
    outside_prompt_count: int = Field(8, ge=0, le=64)
    """How many prompts outside the data set are rendered, once each."""
    preference: float = Field(0.5, ge=0, le=2)
    """How much worse than the best an earlier checkpoint may be and still win; 1 is the usual rule."""


class PackSection(Section):
    """[pack]"""

    size: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = "auto"
    """Trials trained at a time; "auto" measures once, when the study begins, what fits and pays."""
    most: int = Field(32, ge=1, le=256)
    """The largest size that "auto" tries."""


class SaveSection(Section):
    """[save]"""

    precision: Literal["no", "fp16", "bf16"] = "fp16"
    """Number format of LoRA files; "no" keeps float32."""
    every_n_epochs: int = Field(1, ge=1)
    """How often ``lorasearch train`` writes a LoRA file; the last epoch's is always written."""
    keep_last: int | None = Field(None, ge=1)
    """How many of these it keeps beside the last epoch's; None keeps all. A search scores every epoch and keeps
    every file, because its finalists are judged again from their files."""


class SamplesSection(Section):
    """[samples]: pictures that ``lorasearch train`` writes; a search renders what [judge] says."""

    prompts: tuple[str, ...] = ()
    """One picture each; none are written without prompts."""
    negative_prompt: str = ""
    """What the pictures should not show."""
    seed: int = Field(0, ge=-1, lt=2**63)
    """Of the starting noise, the same at every epoch; -1 draws one, which is then recorded."""
    steps: int = Field(20, ge=1, le=1000)
    """Sampling steps of a picture."""
    guidance: float = Field(7.0, ge=1)
    """Scale of classifier-free guidance (CFG); 1 switches it off."""
    sampler: str = solvers.DEFAULT
    """Which of diffusers' solvers draws, by the name that WebUIs give it."""
    width: int | None = Field(None, ge=16)
    """Pixels; None takes ``data.resolution``."""
    height: int | None = Field(None, ge=16)
    """Pixels; None takes ``data.resolution``."""
    every_n_epochs: int = Field(1, ge=1)
    """The last epoch always has its pictures."""

    @field_validator("sampler")
    @classmethod
    def _known(cls, name: str) -> str:
        if problem := solvers.problem(name):
            raise ValueError(problem)
        return name


class StorageSection(Section):
    """[storage]: where trials are kept, and how several runners of one study work together."""

    url: str = ""
    """Empty: SQLite in the workspace, for one runner. For several ``postgresql://USER@HOST/NAME``, or
    ``grpc://HOST:PORT`` of Optuna's proxy. ``env:NAME`` takes the URL, perhaps with a password, from that environment
    variable."""
    checkpoints: str | None = None
    """Folder or fsspec URL through which runners that have a workspace each pass on LoRA files, training states and
    renders; None: they share one workspace."""
    ttl: float = Field(120.0, ge=1, le=86_400)
    """Seconds of silence after which other runners take over a runner's trials."""
    patience: float = Field(180.0, ge=0, le=86_400)
    """Seconds for which a database server that went away is waited for before the run stops; it can be resumed."""

    @field_validator("url")
    @classmethod
    def _storage(cls, url: str) -> str:
        if found := storage_url.problem(url):
            raise ValueError(found)
        return url

    @field_validator("checkpoints")
    @classmethod
    def _open(cls, url: str | None) -> str | None:
        if url and (found := secret_problem(url)):
            raise ValueError(found)
        return url


class ProbeSection(Section):
    """[probe]: D-Adaptation finds a learning rate, on which the range of ``optimiser.unet_lr`` is centred."""

    enabled: bool = False
    """Whether a study begins with it; the result is remembered, so that it is done once."""
    steps: int = Field(600, ge=120, le=100_000)
    """Most optimiser steps; it ends earlier where the rate has stayed for 100."""
    repetitions: int = Field(3, ge=1, le=16)
    """Trainings with a seed each, in one pack; one estimate alone may be off by a factor of two."""
