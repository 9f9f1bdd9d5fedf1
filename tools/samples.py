"""Renders contact sheets with the shipped micro bases: one row a style, one column a prompt."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from artwork import BASE_STYLES, ROOT
from export import shipped_flow, shipped_pipeline
from recognition import told_of

if TYPE_CHECKING:
    from PIL.Image import Image

SUBJECTS = (
    "red apple",
    "banana",
    "pizza",
    "mushroom",
    "dog face",
    "panda",
    "fox",
    "octopus",
    "sunflower",
    "automobile",
    "rocket",
    "umbrella",
    "light bulb",
    "crown",
    "soccer ball",
    "grinning face",
)
STYLES = (*(f"{style} style" for style in BASE_STYLES), "")
CELL = 96


def prompts(style: str) -> list[str]:
    """Returns the prompts of one row; no style gives the bare names."""
    return [f"{subject}, {style}" if style else subject for subject in SUBJECTS]


def render(texts: list[str], steps: int, guidance: float, seed: int, flow: bool) -> list[Image]:
    """Returns one picture of 64 px a text, each from its own seed."""
    pipeline = shipped_flow() if flow else shipped_pipeline()
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed + place) for place in range(len(texts))]
    return pipeline(
        texts,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=generators,
        height=64,
        width=64,
        **told_of(pipeline),
    ).images


def sheet(rows: list[list[Image]]) -> Image:
    """Returns all pictures in a grid."""
    from PIL import Image

    grid = Image.new("RGB", (CELL * len(rows[0]), CELL * len(rows)), "white")
    for top, row in enumerate(rows):
        for left, picture in enumerate(row):
            grid.paste(picture.resize((CELL, CELL), Image.Resampling.LANCZOS), (left * CELL, top * CELL))
    return grid


def main() -> None:
    """Renders and writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "docs", help="folder of the sheets")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    chosen.to.mkdir(parents=True, exist_ok=True)
    for name, flow in (("micro-samples", False), ("micro-flow-samples", True)):
        rows = [render(prompts(style), chosen.steps, chosen.guidance, chosen.seed, flow) for style in STYLES]
        sheet(rows).quantize(128).save(chosen.to / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
