"""Trains the micro CLIP: which picture belongs to which words, in known styles and without the demo's concepts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import shapes
import torch
from artwork import SEEN_STYLES, STATE, UNSEEN_STYLE
from clip_data import (
    Library,
    augmented,
    described,
    draw,
    library,
    on_white,
    shared_keywords,
    synonyms,
)
from torch import Tensor, nn
from torch.nn import functional
from training import Plan, device, train
from vocabulary import tokenizer

if TYPE_CHECKING:
    from transformers import BatchEncoding

SYNONYM_WEIGHT = 0.3
SHARED_WEIGHT = 0.5
KEYWORD_TEMPERATURE = 0.1
CHOICES = 20


_TOKENIZER = tokenizer()


def tokenised(captions: list[str]) -> BatchEncoding:
    """Returns token ids and mask of some captions, padded to the longest."""
    return _TOKENIZER(captions, padding=True, truncation=True, return_tensors="pt")


def contrastive_loss(model: nn.Module, pixels: Tensor, captions: list[str]) -> tuple[Tensor, Tensor]:
    """Returns CLIP's symmetric cross-entropy (Radford et al. 2021, arXiv:2103.00020, figure 3).

    Returns:
        The loss, and the pictures' embeddings of unit length, shape (n, 128).
    """
    tokens = tokenised(captions).to(pixels.device)
    result = model(**tokens, pixel_values=pixels)
    logits = result.logits_per_image.float()
    right = torch.arange(len(captions), device=logits.device)
    sides = [functional.cross_entropy(side, right, label_smoothing=0.05) for side in (logits, logits.t())]
    return (sides[0] + sides[1]) / 2, result.image_embeds


def batch_loss(model: nn.Module, stock: Library, generator: torch.Generator, where: torch.device) -> Tensor:
    """Returns the loss of one batch: pictures with captions, with keywords, and words with words."""
    rows, captions = draw(stock, generator)
    pixels = augmented(stock.pictures[rows].float() / 255, generator).to(where)
    names, others = synonyms(stock.hints, generator)
    common, owned = shared_keywords(stock, rows)
    with torch.autocast(where.type, torch.bfloat16):
        loss, pictures = contrastive_loss(model, pixels, captions)
        loss = loss + SYNONYM_WEIGHT * synonym_loss(model, names, others, where)
        return loss + SHARED_WEIGHT * shared_loss(model, pictures, common, owned)


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
    logits = sides[0] @ sides[1].t() / KEYWORD_TEMPERATURE
    right = torch.arange(len(names), device=logits.device)
    return (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.t(), right)) / 2


def shared_loss(model: nn.Module, pictures: Tensor, common: list[str], owned: Tensor) -> Tensor:
    """Returns the cross-entropy of a picture's keywords against all that the batch shares.

    Args:
        model: A CLIPModel.
        pictures: Embeddings of unit length, shape (n, 128).
        common: The keywords, m of them.
        owned: Which picture has which, shape (n, m).
    """
    tokens = tokenised(common).to(pictures.device)
    texts = functional.normalize(model.get_text_features(**tokens).pooler_output.float(), dim=-1)
    chances = functional.log_softmax(pictures.float() @ texts.t() / KEYWORD_TEMPERATURE, dim=-1)
    owned = owned.to(pictures.device)
    some = owned.sum(dim=1) > 0
    return -((chances * owned).sum(dim=1)[some] / owned.sum(dim=1)[some]).mean()


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
    return first_share(scores, [concepts.index(name) for name in stock.names], choices)


def first_share(scores: Tensor, own: list[int], choices: int = CHOICES) -> float:
    """Returns how often the own column of a row is above `choices` - 1 others of it, drawn at random.

    Args:
        scores: Shape (rows, columns).
        own: A column a row.
        choices: How many columns are compared.
    """
    generator = torch.Generator().manual_seed(2)
    hits = 0
    for row, place in zip(scores, own, strict=True):
        order = torch.randperm(len(row), generator=generator).tolist()
        others = [other for other in order if other != place]
        hits += int(row[place] > row[others[: choices - 1]].max())
    return hits / len(own)


def main() -> None:
    """Trains from the checkpoint on; `train_clip_text.py` ends the training and exports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3600)
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
        return batch_loss(network, stock, generator, where)

    def note(average: nn.Module, step: int) -> str:
        plain, hinted = right_among(average, hidden), right_among(average, hidden, hints=5)
        return f"unseen style {right_among(average, stranger):.3f}, concepts {plain:.3f}, with keywords {hinted:.3f}"

    plan = Plan("clip", steps, peak_rate=1e-3, warm_steps=300, decay=0.998, weight_decay=0.1)
    train(plan, model, loss_of, STATE, note)


if __name__ == "__main__":
    main()
