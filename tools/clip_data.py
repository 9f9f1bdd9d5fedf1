"""What the micro CLIP learns from: pictures by concept and style, captions, keywords, and how they are varied."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from artwork import categories, gallery, is_held_out, keywords, words
from concepts import DEMO_CONCEPTS
from torch import Tensor
from torch.nn import functional

CONCEPTS = 96
PAIRED = 32
"""How many of a batch's concepts are shown in a second style, with captions that tell the two apart."""
STYLE_SHARE = 0.4
KEYWORD_SHARE = 0.5
KEYWORDS_ALONE_SHARE = 0.3
MOST_KEYWORDS = 5
SYNONYMS = 64
SHARED_KEYWORDS = 48


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


def draw(stock: Library, generator: torch.Generator) -> tuple[list[int], list[str]]:
    """Returns one batch: which pictures, and a caption for each.

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
    return rows, captions


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


def shared_keywords(stock: Library, rows: list[int]) -> tuple[list[str], Tensor]:
    """Returns the keywords that most pictures of a batch share, and which picture has which.

    Returns:
        At most `SHARED_KEYWORDS` words, and a table of shape (pictures, words) of zeros and ones.
    """
    hints = [stock.hints.get(stock.names[row], ()) for row in rows]
    counts = Counter(word for found in hints for word in set(found))
    common = [word for word, count in counts.most_common(SHARED_KEYWORDS) if count > 1]
    return common, torch.tensor([[float(word in found) for word in common] for found in hints])


def on_white(rgba: Tensor) -> Tensor:
    """Returns uint8 straight RGBA pictures over white, in [-1, 1]."""
    shown = rgba.float() / 255
    return (shown[:, :3] * shown[:, 3:] + 1 - shown[:, 3:]) * 2 - 1


def described(stock: Library, slug: str, hints: int) -> str:
    """Returns a concept's name with its first few keywords."""
    return " ".join([words(slug), *stock.hints.get(slug, ())[:hints]])
