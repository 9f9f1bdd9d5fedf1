"""Measures the shipped micro models: prints a table, and as its last line one JSON object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import clip_data
import torch
import train_base
import train_clip
import train_flow
import train_vae
from artwork import ASSETS, SEEN_STYLES, UNSEEN_STYLE
from export import MICRO_CLIP, shipped_flow, shipped_pipeline
from recognition import recognised

if TYPE_CHECKING:
    from diffusers import StableDiffusion3Pipeline, StableDiffusionPipeline
    from transformers import CLIPModel

GOALS = {
    "vae_psnr_unseen": ">= 24 dB",
    "base_validation_loss": "below untrained",
    "untrained_validation_loss": "",
    "renders_recognised": ">= 0.80",
    "flow_validation_loss": "below untrained",
    "flow_untrained_validation_loss": "",
    "flow_renders_recognised": ">= 0.80",
    "clip_unseen_style": ">= 0.70",
    "clip_unseen_concepts": ">= 0.40",
    "clip_unseen_concepts_with_keywords": ">= 0.40",
    "megabytes": "<= 26",
}


def shipped_clip() -> CLIPModel:
    """Returns the shipped micro CLIP in single precision."""
    from transformers import CLIPModel

    return CLIPModel.from_pretrained(str(MICRO_CLIP), dtype=torch.float32, local_files_only=True).eval()


def base_figures(pipeline: StableDiffusionPipeline) -> dict[str, float]:
    """Returns the loss on held-out concepts in known styles, of the shipped base and of an untrained one."""
    torch.manual_seed(0)
    model = train_base.Base(len(pipeline.tokenizer)).eval()
    cells = train_base.validation(train_base.stock(pipeline.vae, held_out=True))
    untrained = train_base.validation_loss(model, cells)
    model.text, model.unet = pipeline.text_encoder, pipeline.unet
    return {
        "base_validation_loss": train_base.validation_loss(model.eval(), cells),
        "untrained_validation_loss": untrained,
    }


def flow_figures(pipeline: StableDiffusion3Pipeline) -> dict[str, float]:
    """Returns the same of the flow-matching base."""
    torch.manual_seed(0)
    model = train_flow.initial(len(pipeline.tokenizer)).eval()
    cells = train_base.validation(train_flow.short(train_base.stock(pipeline.vae, held_out=True)))
    untrained = train_flow.validation_loss(model, cells)
    model.texts = torch.nn.ModuleList((pipeline.text_encoder, pipeline.text_encoder_2))
    model.transformer = pipeline.transformer
    return {
        "flow_validation_loss": train_flow.validation_loss(model.eval(), cells),
        "flow_untrained_validation_loss": untrained,
    }


def clip_figures(model: CLIPModel) -> dict[str, float]:
    """Returns how often the right caption of 20 scores highest: for a new style, and for new concepts."""
    style = clip_data.library(hidden=False, styles=(UNSEEN_STYLE,))
    concepts = clip_data.library(hidden=True, styles=SEEN_STYLES)
    return {
        "clip_unseen_style": train_clip.right_among(model, style),
        "clip_unseen_concepts": train_clip.right_among(model, concepts),
        "clip_unseen_concepts_with_keywords": train_clip.right_among(model, concepts, hints=5),
    }


def megabytes() -> float:
    """Returns the size of all shipped weights, in millions of bytes."""
    return sum(path.stat().st_size for path in ASSETS.rglob("*.safetensors")) / 1e6


def figures() -> dict[str, float]:
    """Returns every figure by its name."""
    pipeline = shipped_pipeline()
    found = {"vae_psnr_unseen": train_vae.psnr(pipeline.vae, train_vae.unseen())}
    clip = shipped_clip()
    with torch.no_grad():
        found |= base_figures(pipeline) | {"renders_recognised": recognised(pipeline, clip)}
        flow = shipped_flow()
        found |= flow_figures(flow) | {"flow_renders_recognised": recognised(flow, clip)}
    found |= clip_figures(clip) | {"megabytes": megabytes()}
    return {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    """Prints the table and the JSON line."""
    found = figures()
    for name, value in found.items():
        print(f"{name:36} {value:9.4f}  {GOALS[name]}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
