"""Writes ``docs/gpu.md``: what fits on which card, by the forecast: ``python -m tools.gpu_md > docs/gpu.md``.

Full-size architectures without weights; no GPU is needed. About a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from evaluation.footprint import eyes
from studies.commands.cards import SIZES
from trainer.bases.families import FAMILIES
from trainer.bases.find import Source
from trainer.footprint.fitting import Fit, Setting, fit
from trainer.footprint.forecast import CONTEXT_BYTES, GIB, Needs, Use, room_of, stages
from trainer.footprint.needs import Forecaster
from trainer.plan import TrainingPlan
from trainer.plans.compute import BaseFormat

CLIP = "openai/clip-vit-large-patch14"
MOST = 32
"""The largest pack that is looked for."""
STAGES = {
    "latents": "encoding latents",
    "captions": "reading captions",
    "training": "training",
    "rendering": "rendering",
    "decoding": "decoding",
    "looking": "CLIP",
}


@dataclass(frozen=True)
class Kind:
    """A base model at a size."""

    family: str
    side: int
    text: bool
    """Whether text encoders are trained."""

    @property
    def title(self) -> str:
        """As the tables say it."""
        return f"{FAMILIES[self.family].title}, {self.side} px{', text encoder trained' * self.text}"


KINDS = (Kind("sd1", 512, False), Kind("sd1", 512, True), Kind("sdxl", 1024, False))
RANKS = {"sd1": 32, "sdxl": 16}


@cache
def forecaster(kind: Kind) -> Forecaster:
    """Of a full-size architecture."""
    folder = FAMILIES[kind.family].configs
    plan = TrainingPlan.model_validate(
        {
            "base": {"path": "no-weights"},
            "data": {"folder": "no-images", "resolution": kind.side},
            "lora": {"rank": RANKS[kind.family], "text_encoder": kind.text},
            "optimiser": {"name": "adamw8bit"},
            "compute": {"mixed_precision": "bf16"},
        }
    )
    return Forecaster(
        plan,
        eyes=eyes([CLIP]),
        source=Source(FAMILIES[kind.family], folder, None, None, "epsilon", False),
    )


@cache
def needs(kind: Kind, setting: Setting) -> Needs:
    """Of a base model in a setting."""
    return forecaster(kind).needs(setting)


def page() -> str:
    """The whole page."""
    return "\n".join(lines()) + "\n"


def lines() -> Iterator[str]:
    """The page, line by line."""
    yield from HEAD
    yield from table(
        ("card", *(kind.title + f", rank {RANKS[kind.family]}" for kind in KINDS)),
        [(f"{size:g} GiB", *(fitted(kind, size) for kind in KINDS)) for size in SIZES],
    )
    yield from FITS
    yield from table(
        ("stage", *(f"{kind.title}{suffix(form)}" for kind, form in STAGED)),
        [
            (title, *(gib(stages(needs(kind, setting(kind, form)), ALONE)[stage]) for kind, form in STAGED))
            for stage, title in STAGES.items()
        ],
    )
    yield from STAGES_SAID
    yield from table(
        ("base_format", "SD 1.x U-Net", "SDXL U-Net"),
        [
            (form, *(gib(needs(kind, setting(kind, form)).unet) for kind in (KINDS[0], KINDS[2])))
            for form in FORMATS
        ],
    )
    yield from TAIL


ALONE = Use(1, 1, offload=True)
STAGED: tuple[tuple[Kind, BaseFormat], ...] = ((KINDS[0], "auto"), (KINDS[2], "auto"), (KINDS[2], "nf4"))
FORMATS: tuple[BaseFormat, ...] = ("bf16", "fp8", "int8", "nf4")


def setting(kind: Kind, form: BaseFormat) -> Setting:
    """With gradient checkpointing."""
    return Setting(kind.side, form, True)


def suffix(form: BaseFormat) -> str:
    """Of a heading."""
    return "" if form == "auto" else f", {form}"


def fitted(kind: Kind, size: float) -> str:
    """A cell: the largest pack, and what it takes."""
    tried = [Setting(kind.side, form, False) for form in ("auto", "nf4")]  # type: ignore[arg-type]
    found = fit(lambda each: needs(kind, each), tried, 1, room_of(int(size * GIB)), MOST)
    return "–" if found is None else cell(found)


def cell(found: Fit) -> str:
    """A fit in few words."""
    ways = [
        *(["checkpointing"] if found.setting.checkpointing else []),
        *([found.setting.base_format] if found.setting.base_format != "auto" else []),
        *(["offload"] if found.offload else []),
    ]
    return f"{found.trials} ({', '.join(ways) or 'as it is'})"


def gib(count: int) -> str:
    """Bytes in GiB."""
    return f"{count / GIB:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


HEAD = (
    "# Graphics cards: what fits, what to expect",
    "",
    "`lorasearch plan my-study.toml --card 8` says what of *your* study fits on 8 GiB; without `--card` it asks",
    "the card at hand, or lists 8 to 24 GiB. `lorasearch init` writes settings that fit the card at hand.",
    "Nothing is loaded for this: every step of the real architecture runs once on tensors that have shapes and",
    "lifetimes but no bytes, the judge's included, and living bytes are counted. Tests hold the count within a",
    "tenth of the same count on real tensors. All figures here come from it; they were not measured on a GPU.",
    "`python -m tools.gpu_md` prints this page.",
    "",
    "## Trials at a time",
    "",
    "bf16, batch 1, AdamW8bit, judged by CLIP ViT-L/14. "
    f"{CONTEXT_BYTES / 2**20:.0f} MiB of each card are left to CUDA and its libraries.",
    "",
)
FITS = (
    "",
    f"At most {MOST} were looked for. Without gradient checkpointing where that lets four fit, else with it where it",
    "holds more; nf4 only where the whole base lets not one fit.",
    "",
    "## Memory by stage",
    "",
    "One trial, gradient checkpointing, idle networks off the card, in GiB. A study needs the largest.",
    "",
)
STAGES_SAID = (
    "",
    "- `compute.offload`: `all` keeps on the card only what works; `auto` does so where the card has less than",
    "  four times the base's size free. Latents and captions are encoded first, then their networks leave; text",
    "  encoders stay if a trial trains them or captions are shuffled. Moving costs seconds for each judging,",
    "  and nothing while training.",
    "- `compute.gradient_checkpointing`: `true`, `false`, or `auto`, which settles it when the study begins.",
    "- `judge.max_rows` is the most rows in one forward pass whoever is judged. Where memory runs out while",
    "  judging or encoding, the rows are halved and the work goes on; figures stay the same to rounding.",
    "- From 768 pixels up, pictures are decoded in tiles of 512, on every card alike, so that scores do not",
    "  depend on it.",
    "",
    "## Fewer bits",
    "",
    "`compute.base_format` says how the frozen weights of the U-Net's attention and feed-forward layers are",
    "stored; convolutions, text encoders and VAE stay as they are. A weight is made whole for one product at a",
    "time, forward and backward. GiB of the U-Net:",
    "",
)
TAIL = (
    "",
    "Of a normal weight int8 is off by 0.7 % of its norm, fp8 (e4m3, a scale for each output) by 2.6 %, nf4 by",
    "9 %. A LoRA trained on nf4 lowers the whole base's loss as one trained on the whole base does, to",
    "within 15 %, on the micro base (`tests/trainer/adapters/test_stored.py`). DoRA and LyCORIS' algorithms read whole",
    "weights and are refused.",
)


if __name__ == "__main__":
    print(page(), end="")
