"""Trains the micro CLIP: which picture belongs to which words, in known styles and without the demo's concepts."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapes
import torch
from artwork import SEEN_STYLES, STATE, UNSEEN_STYLE, categories, gallery, is_held_out, keywords, words
from concepts import DEMO_CONCEPTS
from export import clip as export_clip
from torch import Tensor, nn
from torch.nn import functional
from training import Plan, device, train
from vocabulary import tokenizer

if TYPE_CHECKING:
    from transformers import BatchEncoding

CONCEPTS = 96
PAIRED = 32
"""How many of a batch's concepts are shown in a second style, with captions that tell the two apart."""
KEYWORD_SHARE = 0.5
KEYWORDS_ALONE_SHARE = 0.3
MOST_KEYWORDS = 5
SYNONYMS = 64
SYNONYM_WEIGHT = 0.3
SYNONYM_TEMPERATURE = 0.1
STYLE_SHARE = 0.4
CHOICES = 20


@dataclass(frozen=True)
class Library:
    """Pictures by concept and style.

    Attributes:
        pictures: Straight RGBA, shape (n, 4, 64, 64), uint8.
        names: The concept of each picture.
        styles: The style of each picture.
        rows: The pictures of each concept.
        hints: Further words for each concept.
    """

    pictures: Tensor
    names: tuple[str, ...]
    styles: tuple[str, ...]
    rows: dict[str, tuple[int, ...]]
    hints: dict[str, tuple[str, ...]]


def is_hidden(slug: str) -> bool:
    """Tells whether CLIP may not learn this concept."""
    return slug in DEMO_CONCEPTS or is_held_out(slug)


def library(hidden: bool, styles: tuple[str, ...]) -> Library:
    """Returns the pictures of the hidden concepts, or of all others, in some styles."""
    concepts = [slug for slug in categories() if is_hidden(slug) == hidden]
    chosen = [gallery(style).only(concepts) for style in styles]
    names = tuple(name for item in chosen for name in item.names)
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return Library(
        torch.from_numpy(np.concatenate([item.pictures for item in chosen])).permute(0, 3, 1, 2).contiguous(),
        names,
        tuple(item.style for item in chosen for _ in item.names),
        {name: tuple(found) for name, found in rows.items()},
        keywords(),
    )


def draw(stock: Library, generator: torch.Generator) -> tuple[Tensor, list[str]]:
    """Returns one batch: pictures in [0, 1], straight RGBA, and a caption for each.

    No two captions fit the same picture: concepts differ, or else their captions name their styles.
    """
    concepts = list(stock.rows)
    order = torch.randperm(len(concepts), generator=generator)[:CONCEPTS].tolist()
    lots = torch.rand(CONCEPTS, 4, generator=generator).tolist()
    rows, captions = [], []
    for place, (concept, lot) in enumerate(zip(order, lots, strict=True)):
        found = stock.rows[concepts[concept]]
        paired = place < PAIRED and len(found) > 1
        first = int(lot[0] * len(found))
        second = (first + 1 + int(lot[1] * (len(found) - 1))) % len(found)
        for row in (found[first], found[second]) if paired else (found[first],):
            rows.append(row)
            captions.append(caption(stock, row, lot[2], styled=paired or lot[3] < STYLE_SHARE))
    return stock.pictures[rows].float() / 255, captions


def caption(stock: Library, row: int, lot: float, styled: bool) -> str:
    """Returns words for a picture: its name, often with keywords beside or instead of it, and maybe its style.

    Args:
        stock: Where the picture lies.
        row: Which picture.
        lot: Uniform in [0, 1): decides everything but the style.
        styled: Whether the style is named.
    """
    name = words(stock.names[row])
    hints = stock.hints.get(stock.names[row], ())
    if hints and lot < KEYWORD_SHARE:
        fine = lot / KEYWORD_SHARE * len(hints)
        start, count = int(fine), 1 + int(fine % 1 * MOST_KEYWORDS)
        some = " ".join((hints + hints)[start : start + count])
        name = some if fine * 100 % 1 < KEYWORDS_ALONE_SHARE else f"{name} {some}"
    if not styled:
        return name
    return f"{name}, {stock.styles[row]} style" if lot * 1000 % 1 < 0.7 else f"{stock.styles[row]}, {name}"


def augmented(rgba: Tensor, generator: torch.Generator) -> Tensor:
    """Returns pictures shifted, scaled, turned a little, recoloured a little, on white or a random colour.

    Args:
        rgba: Straight RGBA in [0, 1], shape (n, 4, h, w).
        generator: Draws every change.

    Returns:
        Pictures in [-1, 1], shape (n, 3, h, w).
    """
    count = len(rgba)
    lot = torch.rand(count, 8, generator=generator)
    scale, angle = 0.9 + 0.3 * lot[:, 0], 0.3 * (lot[:, 1] - 0.5)
    turn = torch.stack([angle.cos() * scale, -angle.sin() * scale, 0.2 * (lot[:, 2] - 0.5)], dim=1)
    lift = torch.stack([angle.sin() * scale, angle.cos() * scale, 0.2 * (lot[:, 3] - 0.5)], dim=1)
    grid = functional.affine_grid(torch.stack([turn, lift], dim=1), list(rgba.shape), align_corners=False)
    solid = torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], dim=1)
    moved = functional.grid_sample(solid, grid, align_corners=False)
    colour = torch.rand(count, 3, 1, 1, generator=generator)
    colour = torch.where(lot[:, 4].view(-1, 1, 1, 1) < 0.6, torch.ones_like(colour), colour)
    flat = moved[:, :3] + colour * (1 - moved[:, 3:])
    gain = 0.8 + 0.4 * torch.rand(count, 3, 1, 1, generator=generator)
    gain = torch.where(lot[:, 5].view(-1, 1, 1, 1) < 0.5, gain, torch.ones_like(gain))
    grey = flat.mean(dim=1, keepdim=True)
    strength = (0.7 + 0.5 * lot[:, 6]).view(-1, 1, 1, 1)
    return ((grey + (flat - grey) * strength) * gain).clamp(0, 1) * 2 - 1


def contrastive_loss(model: nn.Module, pixels: Tensor, captions: list[str]) -> Tensor:
    """Returns CLIP's symmetric cross-entropy (Radford et al. 2021, arXiv:2103.00020, figure 3)."""
    tokens = tokenised(captions).to(pixels.device)
    result = model(
        input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels
    )
    logits = result.logits_per_image.float()
    right = torch.arange(len(captions), device=logits.device)
    sides = [functional.cross_entropy(side, right, label_smoothing=0.05) for side in (logits, logits.t())]
    return (sides[0] + sides[1]) / 2


def synonyms(hints: dict[str, tuple[str, ...]], generator: torch.Generator) -> tuple[list[str], list[str]]:
    """Returns names and, for each, some of its keywords in another order: words alone, of any concept."""
    rich = [slug for slug, found in hints.items() if len(found) > 1]
    chosen = torch.randperm(len(rich), generator=generator)[:SYNONYMS].tolist()
    names, others = [], []
    for slug in (rich[place] for place in chosen):
        order = torch.randperm(len(hints[slug]), generator=generator)[: MOST_KEYWORDS + 1].tolist()
        names.append(words(slug))
        others.append(" ".join(hints[slug][place] for place in order))
    return names, others


def synonym_loss(model: nn.Module, names: list[str], others: list[str], where: torch.device) -> Tensor:
    """Returns the cross-entropy of finding a name by its keywords among a batch, both ways.

    It teaches the text tower words whose pictures it never sees.
    """
    sides = [
        functional.normalize(
            model.get_text_features(**tokenised(texts).to(where)).pooler_output.float(), dim=-1
        )
        for texts in (names, others)
    ]
    logits = sides[0] @ sides[1].t() / SYNONYM_TEMPERATURE
    right = torch.arange(len(names), device=logits.device)
    return (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.t(), right)) / 2


_TOKENIZER = tokenizer()


def tokenised(captions: list[str]) -> BatchEncoding:
    """Returns token ids and mask of some captions, padded to the longest."""
    return _TOKENIZER(captions, padding=True, truncation=True, return_tensors="pt")


def on_white(rgba: Tensor) -> Tensor:
    """Returns uint8 straight RGBA pictures over white, in [-1, 1]."""
    shown = rgba.float() / 255
    return (shown[:, :3] * shown[:, 3:] + 1 - shown[:, 3:]) * 2 - 1


def described(stock: Library, slug: str, hints: int) -> str:
    """Returns a concept's name with its first few keywords."""
    return " ".join([words(slug), *stock.hints.get(slug, ())[:hints]])


@torch.no_grad()
def right_among(model: nn.Module, stock: Library, hints: int = 0, choices: int = CHOICES) -> float:
    """Returns how often a picture's own caption scores highest among `choices` of the same library.

    Args:
        model: A CLIPModel.
        stock: Pictures and their concepts.
        hints: How many keywords follow the name in a caption.
        choices: How many captions to choose from: the right one and random others.
    """
    where = next(model.parameters()).device
    concepts = list(stock.rows)
    tokens = tokenised([described(stock, name, hints) for name in concepts]).to(where)
    texts = functional.normalize(model.get_text_features(**tokens).pooler_output, dim=-1)
    parts = [
        model.get_image_features(pixel_values=on_white(part).to(where)).pooler_output
        for part in stock.pictures.split(128)
    ]
    scores = functional.normalize(torch.cat(parts), dim=-1) @ texts.t()
    generator = torch.Generator().manual_seed(2)
    hits = 0
    for row, name in enumerate(stock.names):
        own = concepts.index(name)
        others = [
            place for place in torch.randperm(len(concepts), generator=generator).tolist() if place != own
        ]
        hits += int(scores[row, own] > scores[row, others[: choices - 1]].max())
    return hits / len(stock.names)


def main() -> None:
    """Trains from the checkpoint on, exporting the running average at every checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2700)
    steps = parser.parse_args().steps
    where = device()
    torch.manual_seed(0)
    model = shapes.clip(len(_TOKENIZER)).to(where)
    stock = library(hidden=False, styles=SEEN_STYLES)
    stranger = library(hidden=False, styles=(UNSEEN_STYLE,))
    hidden = library(hidden=True, styles=SEEN_STYLES)
    print(
        sum(weight.numel() for weight in model.parameters()),
        "weights,",
        len(stock.names),
        "pictures",
        flush=True,
    )

    def loss_of(network: nn.Module, generator: torch.Generator) -> Tensor:
        pictures, captions = draw(stock, generator)
        pixels = augmented(pictures, generator).to(where)
        names, others = synonyms(stock.hints, generator)
        with torch.autocast(where.type, torch.bfloat16):
            alike = synonym_loss(network, names, others, where)
            return contrastive_loss(network, pixels, captions) + SYNONYM_WEIGHT * alike

    def note(average: nn.Module, step: int) -> str:
        export_clip(average)  # type: ignore[arg-type]
        plain, hinted = right_among(average, hidden), right_among(average, hidden, hints=5)
        return f"unseen style {right_among(average, stranger):.3f}, concepts {plain:.3f}, with keywords {hinted:.3f}"

    plan = Plan("clip", steps, peak_rate=1e-3, warm_steps=300, decay=0.998, weight_decay=0.1)
    export_clip(train(plan, model, loss_of, STATE, note))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
