"""Writes the captions that images lack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from studies.errors import StudyError
from trainer.data import guard
from trainer.data.images import DataError, open_rgb
from trainer.data.listing import SUFFIXES, listing
from trainer.files import write_whole


def uncaptioned(folder: Path) -> list[Path]:
    """Images without a caption file, in ``folder`` and the folders below it, in path order.

    Raises:
        StudyError: there is no such folder, it holds no image, or links that lead out of it.
    """
    if not folder.is_dir():
        raise StudyError(f"{folder}: there is no such image folder; name one that exists.")
    below = (p for p in folder.rglob("*") if p.is_dir() and not _hidden(p, folder))
    folders = [folder, *sorted(p for p in below if guard.readable(p, folder))]
    strays = [told for each in folders for told in guard.strays(each, folder, SUFFIXES)]
    if strays:
        raise StudyError(strays)
    found = [listing(each) for each in folders]
    if not any(each.images for each in found):
        raise StudyError(f"{folder}: neither this folder nor one below it holds an image.")
    return [image for each in found for image in each.images if image not in each.captions]


def worded(description: str, trigger: str) -> str:
    """A caption with the trigger word first, once."""
    if not trigger or description.casefold().startswith(trigger.casefold()):
        return description or trigger
    return f"{trigger}, {description}" if description else trigger


def write(
    images: list[Path], describe: Callable[[Path], str], trigger: str
) -> Iterator[tuple[Path, str | StudyError]]:
    """Writes one caption after the other; yields each file and what was written, or why nothing was."""
    for image in images:
        path = image.with_suffix(".txt")
        try:
            caption = worded(describe(image), trigger)
        except DataError as error:
            yield path, StudyError(error.problems)
            continue
        if not path.exists():
            write_whole(path, f"{caption}\n".encode())
            yield path, caption


def describer(model: str) -> Callable[[Path], str]:
    """Loads an image-to-text model.

    Raises:
        StudyError: it cannot be loaded.
    """
    import torch
    from transformers.utils import logging

    from trainer.bases.captioner import Captioner, CaptionerError

    logging.disable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        captioner = Captioner(model, device)
    except CaptionerError as error:
        raise StudyError(str(error)) from error
    return lambda image: captioner.describe(open_rgb(image))


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
