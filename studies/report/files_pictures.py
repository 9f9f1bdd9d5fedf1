"""What judged files draw, as their page shows it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from studies import images
from studies.report import choice
from studies.report.image_grids import Pair, original, pairs
from studies.report.page import Grid, GridRow
from studies.selection.judged_files import JudgedFiles
from studies.text.i18n import Translator
from trainer.data.dataset import Dataset


def grid(
    judged: JudgedFiles, dataset: Dataset, tiles: Sequence[Sequence[str]], say: Translator
) -> Grid | None:
    """Every file's pictures, the base model's above and the held-out images below; None where there are no prompts.

    Args:
        judged: the choice and the pictures.
        dataset: with the held-out images.
        tiles: of each file.
        say: the language.
    """
    if not judged.prompts:
        return None
    selection = judged.selection
    held_out = dataset.split.validation[: len(judged.prompts)]
    originals, base = [original(dataset, i) for i in held_out], say("base model")
    names = [choice.named(selection, one, say) for one in selection.candidates]
    rows = [GridRow(base, [say("without LoRA")], tiles_of(judged.base_renders), base, "base")]
    rows += [
        GridRow(name, [], tiles[i], name, won=i == selection.winner.trial) for i, name in enumerate(names)
    ]
    rows.append(GridRow(say("held-out image"), [], originals, say("held-out image"), "real"))
    return Grid(say("Pictures"), "", judged.prompts, rows)


def tiles_of(renders: Tensor) -> list[str]:
    """Renders, shape (n, 3, height, width), as ``data:`` URIs."""
    return [images.data_uri(images.strip(picture[None])) for picture in renders]


def pairs_of(judged: JudgedFiles, dataset: Dataset, tiles: Sequence[str]) -> list[Pair]:
    """Renders of the winner beside the training image that each is most like; ``tiles`` are the winner's."""
    return pairs(judged.selection.winner.scores, tiles, judged.prompts, dataset)
