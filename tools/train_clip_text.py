"""Ends the training of the micro CLIP: its text tower learns where its finished picture tower puts things."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import shapes
import torch
from artwork import SEEN_STYLES, STATE, UNSEEN_STYLE, categories
from clip_data import Library, augmented, draw, library, on_white
from export import clip as export_clip
from torch import Tensor, nn
from torch.nn import functional
from train_clip import right_among, tokenised
from training import Plan, train
from vocabulary import tokenizer
from word_teacher import Teacher, lesson, teacher

VIEWS = 3
LESSON = 128
LESSON_WEIGHT = 10.0


@torch.no_grad()
def embedded(model: nn.Module, pixels: Iterable[Tensor]) -> Tensor:
    """Returns pictures' embeddings of unit length, shape (n, 128); `pixels` yields them in batches."""
    parts = [model.get_image_features(pixel_values=part).pooler_output for part in pixels]
    return functional.normalize(torch.cat(parts), dim=-1)


def views(model: nn.Module, stock: Library) -> Tensor:
    """Returns each picture's embedding as it is and in augmented views, shape (VIEWS, n, 128)."""
    generator = torch.Generator().manual_seed(3)
    parts = stock.pictures.split(128)
    plain = embedded(model, map(on_white, parts))
    changed = [
        embedded(model, (augmented(part.float() / 255, generator) for part in parts))
        for _ in range(VIEWS - 1)
    ]
    return torch.stack([plain, *changed])


def text_features(model: nn.Module, texts: list[str]) -> Tensor:
    """Returns texts' embeddings of unit length, shape (n, 128)."""
    return functional.normalize(model.get_text_features(**tokenised(texts)).pooler_output.float(), dim=-1)


def batch_loss(
    model: nn.Module, stock: Library, seen: Tensor, school: Teacher, generator: torch.Generator
) -> Tensor:
    """Returns CLIP's loss on seen pictures, plus how far captions of any concept lie from the teacher's place."""
    rows, captions = draw(stock, generator)
    view = torch.randint(len(seen), (len(rows),), generator=generator)
    texts, targets = lesson(school, LESSON, generator)
    with torch.autocast("cpu", torch.bfloat16):
        found = text_features(model, captions + texts)
    logits = model.logit_scale.exp() * seen[view, rows] @ found[: len(rows)].t()
    right = torch.arange(len(rows))
    sides = [functional.cross_entropy(side, right, label_smoothing=0.05) for side in (logits, logits.t())]
    apart = 1 - (found[len(rows) :] * targets).sum(dim=-1)
    return (sides[0] + sides[1]) / 2 + LESSON_WEIGHT * apart.mean()


def pictured() -> nn.Module:
    """Returns the CLIP that `train_clip.py` trained, its picture tower frozen."""
    model = shapes.clip(len(tokenizer()))
    model.load_state_dict(torch.load(STATE / "clip.pt", map_location="cpu", weights_only=True)["average"])
    model.vision_model.requires_grad_(False)
    model.visual_projection.requires_grad_(False)
    return model.eval()


def main() -> None:
    """Trains from the checkpoint on, and exports the running average at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=800)
    steps = parser.parse_args().steps
    torch.manual_seed(0)
    model = pictured()
    stock = library(hidden=False, styles=SEEN_STYLES)
    stranger = library(hidden=False, styles=(UNSEEN_STYLE,))
    hidden = library(hidden=True, styles=SEEN_STYLES)
    seen = views(model, stock)
    school = teacher(stock, categories(), seen[0])

    def loss_of(network: nn.Module, generator: torch.Generator) -> Tensor:
        return batch_loss(network, stock, seen, school, generator)

    def note(average: nn.Module, step: int) -> str:
        plain, hinted = right_among(average, hidden), right_among(average, hidden, hints=5)
        return f"unseen style {right_among(average, stranger):.3f}, concepts {plain:.3f}, with keywords {hinted:.3f}"

    plan = Plan("clip-text", steps, peak_rate=1e-3, warm_steps=50, decay=0.99, weight_decay=0.1)
    export_clip(train(plan, model, loss_of, STATE, note))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
