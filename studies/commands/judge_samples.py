"""Judges the sample pictures in a folder, and writes what is found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluation.encoders import EncoderError
from studies.commands.judge_models import read_clip
from studies.errors import StudyError
from studies.report import samples_page
from studies.report.explanation import sentence
from studies.selection import held_out, judged_samples, sample_names
from studies.selection.judged_samples import SampleVerdict
from studies.text.i18n import Translator
from studies.workspace import write_json
from trainer.data.images import DataError
from trainer.data.listing import pictures_below

UNTRAINED = 16
"""Pixels of a training size that no image is too small for: nothing is trained here."""
SIDE = 256
"""Pixels of the square in which pictures are compared where nothing else is asked; encoders scale it down."""


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """The command's words."""

    folder: Path
    """Of the pictures, in sub-folders or not."""
    data: Path
    clip: str | None
    held_out: Path | None = None
    resolution: int | None = None
    out: Path | None = None
    """None takes ``judgements/`` and the folder's name."""
    seed: int | None = None


def judge(options: SampleOptions, say: Translator) -> tuple[SampleVerdict, Path, Path]:
    """Judges, and writes ``samples.json`` and ``report.html``; gives their places.

    Raises:
        StudyError: with every problem found, each with its remedy.
    """
    problems: list[str] = []
    samples = _samples(options.folder, problems)
    clip = read_clip(options.clip, problems)
    if options.clip is None:
        problems.append("--samples needs --clip: without a base model pictures are all that is compared.")
    side = options.resolution or SIDE
    try:
        images = held_out.read(options.data, options.held_out, [], UNTRAINED, options.seed)
        if problems or clip is None:
            raise StudyError(problems)
        warnings = [sentence(warning) for warning in images.warnings]
        verdict = judged_samples.judge(samples, images.dataset, clip, side, warnings)
    except DataError as error:
        raise StudyError(problems + error.problems) from error
    except EncoderError as error:
        raise StudyError(str(error).replace("judge.clip", "--clip")) from error
    folder = options.out or Path("judgements") / (options.folder.resolve().name or "samples")
    document, page = folder / "samples.json", folder / "report.html"
    write_json(document, verdict.model_dump(mode="json"))
    samples_page.write(page, verdict, samples, images.dataset, say)
    return verdict, document, page


def _samples(folder: Path, problems: list[str]) -> sample_names.Samples:
    if not folder.is_dir():
        problems.append(f"--samples: {folder}: there is no such folder.")
        return sample_names.arrange([])
    samples = sample_names.arrange(pictures_below(folder))
    if len(samples.numbers) < 2 or not samples.prompts:
        problems.append(
            f"--samples: {folder}: {len(samples.numbers)} checkpoint(s) with pictures of the same "
            f"{len(samples.prompts)} prompt(s) were found by their names, and at least 2 with 1 are needed; names such "
            "as cat_e000003_00_20261130101500.png (sd-scripts), 1764500000000__000000250_0.jpg (ai-toolkit) and "
            "…-training-sample-500-5-0.png (OneTrainer) are read."
        )
    return samples
