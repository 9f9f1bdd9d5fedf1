"""docs/families.md, from the families' folders: ``python -m tools.families_md > docs/families.md``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from trainer.bases import skeleton
from trainer.bases.families import FAMILIES
from trainer.bases.family import Family
from trainer.bases.find import Source
from trainer.bases.misfits import ON_DIFFUSIONS, ON_FLOWS
from trainer.bases.process import Flow

_HEAD = """# Families of base models

What each folder in `trainer/bases/families/` says of itself (`python -m tools.families_md > docs/families.md`). Layers
are counted on the full-size architecture whose configuration lies in the folder. `tests/trainer/bases/test_flows.py`
and its neighbours run over all families: packed equals solo equals PEFT to 1e-8, files load with diffusers and render
what the adapter renders.
"""


def source(family: Family) -> Source:
    """The full-size architecture of a family, without weights."""
    return Source(family, family.configs, None, None, family.predictions[0], False)


def _reads(family: Family) -> str:
    names = [encoder.architecture.removesuffix("Model") for encoder in family.text_encoders]
    optional = [encoder.optional for encoder in family.text_encoders]
    return ", ".join(
        f"{name} (may be missing)" if may else name for name, may in zip(names, optional, strict=True)
    )


def _counts(family: Family) -> str:
    made = skeleton.networks(source(family))
    counts = [
        sum(name.startswith("unet.") for name in names)
        for names in (skeleton.layers(made), skeleton.adaptable(made))
    ]
    return f"{counts[0]}, {counts[1]} with `{'lora.layers' if family.flows else 'lora.conv_rank'}`"


def _noise(family: Family) -> str:
    found = source(family)
    _, process = family.functions.process(found.configs, found.prediction_type, False)
    if not isinstance(process, Flow):
        return "uniform"
    shift = "by resolution" if process.shift.by_resolution else f"{process.shift.factor:g}"
    trained = shift if process.shifts_training else "none"
    return f"{process.density}; shift {trained} in training, {shift} in validation and renders"


def _guidance(family: Family) -> str:
    return "a number that the network reads" if family.rendering.embedded else "two passes (CFG)"


def _refused(family: Family) -> str:
    table = ON_FLOWS if family.flows else ON_DIFFUSIONS
    more = [] if family.rendering.embedded else ["noise.guidance"]
    more += [] if family.trained_encoders else ["lora.text_encoder"]
    return ", ".join(f"`{name}`" for name in (*table, *more))


def _files(family: Family) -> str:
    part = family.denoiser.part
    return (
        f"diffusers' and ComfyUI's (`{part}.…`)"
        if family.lora.layout == "diffusers"
        else "kohya's (`lora_unet_…`)"
    )


CELLS: Mapping[str, Callable[[Family], str]] = {
    "name": lambda family: f"`{family.name}`",
    "diffusers folder": lambda family: family.pipeline,
    "single file": lambda family: "its transformer (`base.transformer`)" if family.flows else "yes",
    "network": lambda family: family.denoiser.architecture,
    "reads": _reads,
    "says": lambda family: " or ".join(family.predictions),
    "timesteps": _noise,
    "guidance": _guidance,
    "samplers": lambda family: ", ".join(family.rendering.samplers),
    "sides are multiples of": lambda family: f"{family.side_step} pixels",
    "LoRA layers of the network": _counts,
    "text encoders with a LoRA": lambda family: str(len(family.trained_encoders) or "none"),
    "trials' files": _files,
    "`init` tries ranks": lambda family: ", ".join(map(str, family.ranks)),
    "has no use for": _refused,
}
"""Row -> what stands there for a family."""


def page() -> str:
    """The whole document."""
    families = list(FAMILIES.values())
    rows = [["", *(family.title for family in families)], ["---"] * (len(families) + 1)]
    rows += [[name, *(cell(family) for family in families)] for name, cell in CELLS.items()]
    return _HEAD + "\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
