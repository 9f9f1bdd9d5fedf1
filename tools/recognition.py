"""Whether the micro CLIP recognises what the micro base draws, of concepts that both know, among 20 names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from artwork import BASE_STYLES, gallery, generated_concepts, words
from concepts import DEMO_CONCEPTS
from torch.nn.functional import normalize
from train_clip import first_share, tokenised

if TYPE_CHECKING:
    from diffusers import StableDiffusion3Pipeline, StableDiffusionPipeline
    from transformers import CLIPModel

PICTURES = 160
AT_ONCE = 32
STEPS, GUIDANCE = 20, 4.0


def recognised(pipeline: StableDiffusionPipeline | StableDiffusion3Pipeline, clip: CLIPModel) -> float:
    """Returns how often a render's own name scores highest among 20 that the base knows.

    Concepts and styles are drawn at random among those that the base has seen; each base has its
    own sampler, one seed each.
    """
    concepts = [name for name in generated_concepts() if name not in DEMO_CONCEPTS]
    shown = [(name, style) for style in BASE_STYLES for name in gallery(style).names if name in concepts]
    order = torch.randperm(len(shown), generator=torch.Generator().manual_seed(5))[:PICTURES].tolist()
    drawn = [shown[place] for place in order]
    pictures = _rendered(pipeline, [f"{words(name)}, {style} style" for name, style in drawn])
    names = normalize(clip.get_text_features(**tokenised(list(map(words, concepts)))).pooler_output, dim=-1)
    scores = normalize(clip.get_image_features(pixel_values=pictures).pooler_output, dim=-1) @ names.t()
    return first_share(scores, [concepts.index(name) for name, _ in drawn])


def told_of(pipeline: StableDiffusionPipeline | StableDiffusion3Pipeline) -> dict[str, int]:
    """Returns what a pipeline must be told to read text as its base was trained."""
    if not hasattr(pipeline, "transformer"):
        return {}
    return {"max_sequence_length": pipeline.tokenizer.model_max_length}


def _rendered(
    pipeline: StableDiffusionPipeline | StableDiffusion3Pipeline, prompts: list[str]
) -> torch.Tensor:
    """Returns a picture of 64 px a prompt in [-1, 1], shape (n, 3, 64, 64)."""
    pipeline.set_progress_bar_config(disable=True)
    found = []
    for start in range(0, len(prompts), AT_ONCE):
        some = prompts[start : start + AT_ONCE]
        seeds = [torch.Generator().manual_seed(start + place) for place in range(len(some))]
        found.append(
            pipeline(
                some,
                num_inference_steps=STEPS,
                guidance_scale=GUIDANCE,
                generator=seeds,
                height=64,
                width=64,
                output_type="pt",
                **told_of(pipeline),
            ).images
        )
    return 2 * torch.cat(found) - 1
