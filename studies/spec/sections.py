"""The sections of a study file, and what they need of each other (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from evaluation import solvers
from evaluation.flexibility_prompts import LISTS, among
from evaluation.metrics.table import METRICS, Need, directions
from search.budget import Budget
from search.objective import weight_problems
from search.patience import Patience
from search.samplers import sampler_problem
from studies.spec import storage_url
from studies.spec.paths import reserved
from studies.spec.storage_url import secret_problem
from studies.spec.subjects import JUDGINGS, Subject, weights
from trainer.plans.fields import field, means, required


def cues(judge: JudgeSection) -> Sequence[str]:
    """The study file's own prompts outside the data set, or those of a shipped list and the subject's scenes."""
    chosen = judge.outside_prompts
    if not isinstance(chosen, str):
        return chosen
    return among(JUDGINGS[judge.subject].scenes if judge.trigger else (), judge.trigger, LISTS[chosen])


def weights_for(judge: JudgeSection) -> dict[str, float]:
    """How much each metric counts in a study file that does not say it; its base model is not looked at for this."""
    return weights(judge.subject, flows=False)


def objective_problems(
    weights: Mapping[str, float], judge: JudgeSection, confirm: ConfirmSection
) -> list[str]:
    """Everything wrong with the weights of the metrics, as sentences."""
    return [*weight_problems(weights, directions()), *weight_needs(weights, judge, confirm)]


def weight_needs(weights: Mapping[str, float], judge: JudgeSection, confirm: ConfirmSection) -> list[str]:
    """Metrics that count in the objective but would not be measured, as sentences."""
    weighed = {name: METRICS[name] for name, weight in weights.items() if weight and name in METRICS}
    blind = sorted(name for name, metric in weighed.items() if metric.needs & _missing(judge))
    problems = [f"objective weighs {', '.join(blind)}, but judge.clip names no CLIP."] if blind else []
    exams: dict[str, JudgeSection | ConfirmSection] = {"judge": judge, "confirm": confirm}
    for name, metric in weighed.items():
        for where, section in exams.items():
            if "seeds" in metric.needs and section.seeds_per_prompt < 2:
                problems.append(
                    f"objective weighs {name}, which needs {where}.seeds_per_prompt of at least 2, but got "
                    f"{section.seeds_per_prompt}."
                )
            if "outside" in metric.needs and not (section.outside_prompt_count and cues(judge)):
                problems.append(
                    f"objective weighs {name}, which needs {where}.outside_prompt_count of at least 1, but got "
                    f"{section.outside_prompt_count}."
                )
    return problems


def _missing(judge: JudgeSection) -> frozenset[Need]:
    """What metrics may need that only an encoder gives, and this judge has not."""
    if judge.clip is not None:
        return frozenset()
    return frozenset({"text"}) if judge.image_encoder else frozenset({"text", "pictures"})


BLIND_WEIGHTS: Mapping[str, float] = {"validation": 1.0}
"""How much each metric counts where nothing looks at pictures and nobody says otherwise."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Section(BaseModel):
    """Checked when it is read, never changed after; a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StudySection(Section):
    """[study]"""

    name: str = required(means("output_name"))
    """Names the workspace and the study in the database."""
    seed: int = field(0, means("seed", row="seed, -1 draws one"), ge=-1, lt=2**63)
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

    trials: int | None = field(None, means(unit="trials"))
    """Most trials that are begun."""
    images: int | None = field(None, means(unit="images seen"))
    """Most images that all trials together see; where small sets are dealt into folds, those of every fold."""
    minutes: float | None = field(None, means(unit="minutes"))
    """Longest time that the search may take, all its runs together."""
    images_per_trial: int = required(means(unit="images seen", row="total steps"), ge=1)
    """The horizon: most images that one trial sees."""
    gpu_seconds: float | None = field(None, means(unit="seconds"))
    """Longest working time of all devices together, training and judging."""
    trials_without_gain: int = field(0, means(unit="trials", row="early stopping with patience"), ge=0)
    """End the search when so many trials in a row do not beat the best by more than its standard error; 0: never."""
    checkpoints_without_gain: int = field(
        0, means(unit="checkpoints", row="early stopping with patience"), ge=0
    )
    """End a trial when so many of its checkpoints in a row are no better than its best before them; 0: never."""

    until_gain_below: float = field(0.0, means(unit="objective", row="early stopping with patience"), ge=0)
    """End the search when one more trial is expected to add less than this to the best objective, by the learning
    curves of all trials; never before a third of the budget's trials have ended. 0: never."""

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
        return Patience(
            checkpoints=self.checkpoints_without_gain,
            trials=self.trials_without_gain,
            gain=self.until_gain_below,
        )


class PrunerSection(Section):
    """[search.pruner]"""

    name: str = field("pace", means(row="early stopping with patience"))
    """pace, forecast, asha, hyperband, median, percentile, wilcoxon, or none."""
    min_images: int = field(0, means(unit="images seen"), ge=0)
    """Images seen at the first comparison; 0 takes a sixth of the horizon, and for pace and forecast a tenth."""
    reduction_factor: int = field(3, means(unit="factor"))
    """One of this many trials goes on to the next rung."""
    percentile: float = field(50.0, means(unit="per cent"))
    """The percentile pruner lets go on what is among the best so many per cent of the finished trials."""


class SearchSection(Section):
    """[search]"""

    sampler: str = "tpe"
    """tpe, gp, cmaes, qmc, or random."""
    counts: Literal["reached", "forecast"] = field("reached", means())
    """With what an ended trial counts for the sampler: the best that it reached, or the optimum that its curve and
    all others' forecast for it."""
    pruner: PrunerSection = PrunerSection()
    learn_from: tuple[str, ...] | Literal["all", "off"] = field("off", means())
    """Workspaces of earlier studies, or "all" that lie beside this one's: the best trials of those on the same base
    model are tried first, and the sampler is shown their trials once a third of the trials have been drawn."""
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

    validation: float = field(
        0.15, means(unit="share of images", row="split train / validation / test"), gt=0, lt=0.5
    )
    """Share of images on which checkpoints are compared."""
    test: float = field(
        0.15, means(unit="share of images", row="split train / validation / test"), gt=0, lt=0.5
    )
    """Share of images that are used once, at the end."""
    folds: Annotated[int, Field(ge=0, le=20)] | Literal["auto"] = field(
        "auto", means(unit="folds", row="k-fold")
    )
    """Deal all but the test images into this many folds. Every trial is then trained once without each fold, as
    slots of one pack, and its scores on what it has not seen are pooled; the winner is trained once more on all folds.
    With ``data.fold``, only without that one. 0 for none; "auto" takes 5 with fewer than 20 images, else 0."""


class JudgeSection(Section):
    """[judge]"""

    subject: Subject = field("style", means())
    """What the LoRA is of: it decides on the weights of [objective] and on the prompts outside the data set where
    nothing is said of them."""
    trigger: Annotated[str, StringConstraints(strip_whitespace=True)] = field("", means())
    """What prompts call the subject, such as "sks dog": every second prompt of a shipped list outside the data set then
    puts it into a scene of its own. A style has no scenes."""
    clip: str | None = field(None, means(may_change=True))
    """CLIP folder or hub name; None leaves CLIP scores out."""
    image_encoder: str | None = field(None, means(may_change=True))
    """Folder or hub name of an image encoder such as DINOv2, which compares pictures in CLIP's place; CLIP still
    reads the prompts."""
    prompts: tuple[str, ...] = field((), means("sample_prompts", "positive_prompts", row="sample prompts"))
    """Empty takes the captions of held-out images."""
    prompt_count: int = field(8, means(unit="captions"), ge=0, le=64)
    """How many captions are taken where no prompts are given."""
    seeds_per_prompt: int = field(1, means(unit="seeds"), ge=1, le=16)
    """Renders of each prompt; diversity needs 2, and is measured again in the confirmation."""
    outside_prompts: tuple[str, ...] | Literal["auto", "general", "people", "objects"] = "auto"
    """Prompts that are not in the data set, or the name of a shipped list, "auto" by the subject; those that stand in
    it are left out."""
    outside_prompt_count: int = field(4, means(unit="prompts"), ge=0, le=64)
    """How many of them a trial's last checkpoint renders; 0 measures flexibility in the confirmation alone."""
    negative_prompt: str = field("", means("sample_prompts: --n", "negative_prompts", row="negative prompt"))
    """What pictures should not show."""
    steps: int = field(
        12, means("sample_prompts: --s", "sample_steps", unit="sampling steps", row="steps"), ge=1, le=200
    )
    """Sampling steps of a render."""
    guidance: float = field(
        4.0, means("sample_prompts: --l", "sample_cfg", unit="CFG scale", row="CFG"), ge=1
    )
    """Classifier-free guidance; 1 is none."""
    guided: float = field(0.6, means(unit="share of steps"), ge=0, le=1)
    """Share of the steps, from the first on, that guidance acts in: the others cost half as much."""
    timesteps: int = field(8, means(unit="timesteps"), ge=1, le=100)
    """Per validation image."""
    seen_images: int = field(4, means(unit="images"), ge=0)
    """Training images on which the same loss is measured, to show the gap."""
    max_rows: int = field(64, means(unit="rows", may_change=True), ge=2)
    """Most rows in one forward pass."""
    share: float = field(0.15, means(unit="share of the training"), gt=0, le=1)
    """What judging may cost, as a share of what training costs. The numbers above and those of [confirm] are at
    most; they are lowered until they fit, and what was lowered is told."""

    @model_validator(mode="after")
    def _say_which_prompts(self) -> Self:
        if self.outside_prompts == "auto":
            self.__dict__["outside_prompts"] = JUDGINGS[self.subject].prompts
        return self


EYES = {"clip": "CLIP model", "image_encoder": "image encoder"}
"""What the fingerprints of [judge]'s encoders are called, by field."""


class ConfirmSection(Section):
    """[confirm]"""

    finalists: int = field(4, means(unit="checkpoints"), ge=1, le=32)
    """Checkpoints that are judged again."""
    timesteps: int = field(24, means(unit="timesteps"), ge=1, le=200)
    """Per validation image, with fresh noise."""
    prompt_count: int = field(16, means(unit="captions"), ge=0, le=64)
    """How many captions of held-out images are rendered where judge.prompts gives none."""
    seeds_per_prompt: int = field(3, means(unit="seeds"), ge=1, le=32)
    """Renders of each prompt, with fresh seeds."""
    rounds: int = field(3, means(unit="measurements"), ge=1, le=20)
    """Most times that finalists are measured again; it ends when no other trial is within the noise of the best."""
    outside_prompt_count: int = field(8, means(unit="prompts"), ge=0, le=64)
    """How many prompts outside the data set are rendered, once each."""
    averages: bool = field(False, means())
    """Whether means of checkpoints are judged beside the winner, of its neighbouring epochs and of finalists; one is
    handed over where it is better than the winner beyond the error. Costs as much as two finalists more."""
    preference: float = field(0.0, means(unit="standard errors"), ge=0, le=2)
    """How much worse than the best an earlier checkpoint may be and still win; 1 is Breiman's rule."""
    recipe_margin: float = field(2.0, means(unit="standard errors"), ge=0, le=4)
    """How much worse than the best the last epoch of a recipe ([[first]]) may be and still win."""


class PackSection(Section):
    """[pack]"""

    size: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = field("auto", means(unit="trials"))
    """Trials trained at a time; "auto" measures once, when the study begins, what fits and pays."""
    most: int = field(32, means(unit="trials"), ge=1, le=256)
    """The largest size that "auto" tries."""

    @property
    def limit(self) -> int:
        """Most trials that may be in memory at a time."""
        return self.most if self.size == "auto" else self.size


class SaveSection(Section):
    """[save]"""

    precision: Literal["no", "fp16", "bf16"] = field("fp16", means("save_precision", row="save precision"))
    """Number format of LoRA files; "no" keeps float32."""
    every_n_epochs: int = field(
        1, means("save_every_n_epochs", unit="epochs", row="save every N epochs"), ge=1
    )
    """How often ``lorasearch train`` writes a LoRA file; the last epoch's is always written."""
    keep_last: int | None = field(None, means("save_last_n_epochs", unit="files", row="keep-last-N"), ge=1)
    """How many of these it keeps beside the last epoch's; None keeps all. A search scores every epoch and keeps
    every file, because its finalists are judged again from their files."""


class SamplesSection(Section):
    """[samples]: pictures that ``lorasearch train`` writes; a search renders what [judge] says."""

    prompts: tuple[str, ...] = field((), means("sample_prompts", row="sample prompts"))
    """One picture each; none are written without prompts."""
    negative_prompt: str = field("", means("sample_prompts: --n", row="negative prompt"))
    """What the pictures should not show."""
    seed: int = field(0, means("sample_prompts: --d", row="seed"), ge=-1, lt=2**63)
    """Of the starting noise, the same at every epoch; -1 draws one, which is then recorded."""
    steps: int = field(20, means("sample_prompts: --s", unit="sampling steps", row="steps"), ge=1, le=1000)
    """Sampling steps of a picture."""
    guidance: float = field(7.0, means("sample_prompts: --l", unit="CFG scale", row="CFG"), ge=1)
    """Scale of classifier-free guidance (CFG); 1 switches it off."""
    sampler: str | None = field(None, means("sample_sampler", row="sampler"))
    """Which of diffusers' solvers draws, by the name that WebUIs give it; None takes the one that suits the base."""
    width: int | None = field(None, means("sample_prompts: --w", unit="pixels", row="width × height"), ge=16)
    """Pixels; None takes ``data.resolution``."""
    height: int | None = field(None, means("sample_prompts: --h", unit="pixels", row="width × height"), ge=16)
    """Pixels; None takes ``data.resolution``."""
    every_n_epochs: int = field(1, means("sample_every_n_epochs", unit="epochs", row="every N epochs"), ge=1)
    """The last epoch always has its pictures."""

    @field_validator("sampler")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and (problem := solvers.problem(name)):
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
    ttl: float = field(120.0, means(unit="seconds"), ge=1, le=86_400)
    """Seconds of silence after which other runners take over a runner's trials."""
    patience: float = field(180.0, means(unit="seconds"), ge=0, le=86_400)
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

    enabled: bool = field(False, means(row="LR probe"))
    """Whether a study begins with it; the result is remembered, so that it is done once."""
    steps: int = field(600, means(unit="optimiser steps", row="LR probe"), ge=120, le=100_000)
    """Most optimiser steps; it ends earlier where the rate has stayed for 100."""
    repetitions: int = field(3, means(unit="trainings", row="LR probe"), ge=1, le=16)
    """Trainings with a seed each, in one pack; one estimate alone may be off by a factor of two."""
