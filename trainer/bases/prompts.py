"""From a caption's words to a text encoder's windows: emphasis, chunks, weights (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

WINDOW = 75
"""Tokens of a caption in one pass of a CLIP text encoder, between its start and end tokens."""
EMPHASIS = 1.1
"""What a pair of round brackets multiplies a weight by; square ones divide."""
_PIECE = re.compile(r"\\[()\[\]\\]|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)|[()\[\]]|[^\\()\[\]:]+|.", re.DOTALL)

Weighted = tuple[str, float]
"""A stretch of text and the factor on its embeddings."""
Encode = Callable[[Tensor], Tensor]
"""Token ids (n, 77) to hidden states (n, 77, width)."""


@dataclass(frozen=True, slots=True)
class PromptRules:
    """How all captions and prompts of a study are read, so that their embeddings have one length."""

    windows: int = 1
    """Passes of the text encoder per caption; an embedding has 75 x this + 2 positions."""
    weighted: bool = False
    """Whether brackets mean emphasis."""
    restored: bool = False
    """Whether an emphasised caption is scaled so that its mean stays."""


PLAIN = PromptRules()


def parse(prompt: str) -> list[Weighted]:
    """Splits a prompt at its emphasis.

    ``(x:1.3)`` weighs 1.3, ``(x)`` 1.1, ``[x]`` 1 / 1.1; nesting multiplies; a backslash makes a bracket an
    ordinary character; a bracket that is never closed reaches to the end. Neighbours of equal weight are
    joined, an empty prompt is one empty stretch.
    """
    stretches: list[list[Any]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def close(bracket: str, factor: float) -> None:
        for stretch in stretches[opened[bracket].pop() :]:
            stretch[1] *= factor

    for match in _PIECE.finditer(prompt):
        text, number = match[0], match[1]
        if text in opened:
            opened[text].append(len(stretches))
        elif number is not None and opened["("]:
            close("(", float(number))
        elif text == ")" and opened["("]:
            close("(", EMPHASIS)
        elif text == "]" and opened["["]:
            close("[", 1 / EMPHASIS)
        else:
            stretches.append([text[1:] if len(text) == 2 and text[0] == "\\" else text, 1.0])
    while opened["("]:
        close("(", EMPHASIS)
    while opened["["]:
        close("[", 1 / EMPHASIS)
    return _joined(stretches)


def words(prompt: str, rules: PromptRules) -> str:
    """What a prompt says once its emphasis is taken as such: for encoders that know no weights."""
    return "".join(text for text, _ in parse(prompt)) if rules.weighted else prompt


def _joined(stretches: Sequence[Sequence[Any]]) -> list[Weighted]:
    joined: list[Weighted] = []
    for text, weight in stretches:
        if joined and joined[-1][1] == weight:
            joined[-1] = joined[-1][0] + text, weight
        else:
            joined.append((text, weight))
    return joined or [("", 1.0)]


def windows_needed(tokenizer: Any, captions: Sequence[str], rules: PromptRules) -> int:
    """Windows that the longest caption fills, at least 1 and at most ``rules.windows``."""
    longest = max((len(ids) for ids, _ in _tokens(tokenizer, captions, rules)), default=0)
    return max(1, min(rules.windows, -(-longest // WINDOW)))


def token_counts(tokenizer: Any, captions: Sequence[str], rules: PromptRules) -> list[int]:
    """Tokens of each caption before anything is cut, start and end not counted."""
    endless = replace(rules, windows=max(map(len, captions), default=1))
    return [len(ids) for ids, _ in _tokens(tokenizer, captions, endless)]


def embed(tokenizer: Any, captions: Sequence[str], rules: PromptRules, encode: Encode) -> Tensor:
    """Embeddings of captions, whatever their length: shape (n, 75 x windows + 2, width).

    Each window of 75 tokens is wrapped in the start and end token, padded, and encoded by itself; of the
    inner start and end tokens nothing remains. Then every token's embedding is multiplied by its weight, as
    sd-scripts does from 0.10 on. Where the rules ask for it, each caption is scaled so that the mean over all its
    numbers is what it was, as sd-scripts did before; A1111 takes one mean over all captions of a batch, which would
    make neighbours matter.

    Args:
        tokenizer: a CLIP tokenizer.
        captions: n texts.
        rules: windows and emphasis.
        encode: called once for each window, in order, with the ids of all captions.
    """
    read = _tokens(tokenizer, captions, rules)
    states = [
        encode(torch.tensor([_window(tokenizer, ids, at) for ids, _ in read])) for at in range(rules.windows)
    ]
    parts = [states[0][:, :1], *(state[:, 1:-1] for state in states), states[-1][:, -1:]]
    embeddings = torch.cat(parts, dim=1) if rules.windows > 1 else states[0]
    if all(weight == 1 for _, weights in read for weight in weights):
        return embeddings
    spread = torch.tensor([_spread(weights, rules.windows) for _, weights in read])
    return emphasised(embeddings, spread, rules.restored)


def emphasised(embeddings: Tensor, weights: Tensor, restored: bool = False) -> Tensor:
    """Embeddings (n, tokens, width) times weights (n, tokens); each caption's mean restored where that is asked for."""
    wide = embeddings if embeddings.element_size() >= 4 else embeddings.float()
    weighed = wide * weights.to(wide)[:, :, None]
    if restored:
        weighed = weighed * (wide.mean(dim=(1, 2), keepdim=True) / weighed.mean(dim=(1, 2), keepdim=True))
    changed = (weights != 1).any(dim=1).to(embeddings.device)[:, None, None]
    return torch.where(changed, weighed.to(embeddings.dtype), embeddings)


def _tokens(
    tokenizer: Any, captions: Sequence[str], rules: PromptRules
) -> list[tuple[list[int], list[float]]]:
    """Ids and weights of each caption's own tokens, cut to the windows."""
    pieces = [parse(caption) if rules.weighted else [(caption, 1.0)] for caption in captions]
    texts = [text for caption in pieces for text, _ in caption]
    found = iter(tokenizer(texts, add_special_tokens=False, verbose=False).input_ids if texts else [])
    read, most = [], rules.windows * WINDOW
    for caption in pieces:
        ids: list[int] = []
        weights: list[float] = []
        for _, weight in caption:
            own = next(found)
            ids += own
            weights += [weight] * len(own)
        read.append((ids[:most], weights[:most]))
    return read


def _window(tokenizer: Any, ids: Sequence[int], at: int) -> list[int]:
    own = ids[at * WINDOW : (at + 1) * WINDOW]
    padding = [tokenizer.pad_token_id] * (WINDOW - len(own))
    return [tokenizer.bos_token_id, *own, tokenizer.eos_token_id, *padding]


def _spread(weights: Sequence[float], windows: int) -> list[float]:
    """A weight for every position: 1 for start, end and padding."""
    return [1.0, *weights, *[1.0] * (windows * WINDOW - len(weights)), 1.0]
