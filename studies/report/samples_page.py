"""The page of judged sample pictures: the answer, the pictures, and what was measured."""

from __future__ import annotations

from pathlib import Path

from studies import images
from studies.report.page import Grid, GridRow, environment
from studies.selection.judged_samples import SampledCheckpoint, SampleVerdict
from studies.selection.sample_names import Samples
from studies.text.format import estimate
from studies.text.i18n import ENGLISH, Translator
from trainer.data.dataset import Dataset
from trainer.data.images import open_rgb
from trainer.files import write_whole


def write(path: Path, verdict: SampleVerdict, samples: Samples, dataset: Dataset, say: Translator) -> None:
    """Writes the page, whole or not at all."""
    template = environment(say).get_template("samples.html.j2")
    text = template.render(
        verdict=verdict,
        headline=answer(verdict, say),
        missing=missing(say),
        names={one.number: named(verdict, one.number, say) for one in verdict.checkpoints},
        grid=_grid(verdict, samples, dataset, say),
    )
    write_whole(path, text.encode())


def answer(verdict: SampleVerdict, say: Translator = ENGLISH) -> str:
    """Which checkpoint is best, or which cannot be told apart, and what the next best costs."""
    best = named(verdict, verdict.best, say)
    close = [one for one in verdict.checkpoints if one.close and one.behind]
    if close:
        others = say(", ").join(named(verdict, one.number, say) for one in close)
        return say(
            "Cannot tell {best} from {others}: they differ by no more than noise.", best=best, others=others
        )
    behind = [one for one in verdict.checkpoints if one.behind]
    nearest = min(behind, key=lambda one: one.behind.mean if one.behind else 0.0)
    return say(
        "Use {best}; the next best, {next}, is {behind} behind.",
        best=best,
        next=named(verdict, nearest.number, say),
        behind=estimate(nearest.behind, 2),
    )


def missing(say: Translator = ENGLISH) -> str:
    """What pictures alone cannot tell."""
    return say(
        "Validation loss is missing, since no LoRA file and no base model was given: how well held-out images are "
        "predicted, and whether other prompts are still followed, is not known. `lorasearch judge` on the files tells."
    )


def named(verdict: SampleVerdict, number: int, say: Translator = ENGLISH) -> str:
    """What a checkpoint is called."""
    return (
        say("epoch {label}", label=number) if verdict.unit == "epoch" else say("step {label}", label=number)
    )


def outcome(one: SampledCheckpoint, say: Translator = ENGLISH) -> str:
    """The last column of the table."""
    if one.behind is None:
        return say("best")
    return say("as good") if one.close else say("behind")


def _grid(verdict: SampleVerdict, samples: Samples, dataset: Dataset, say: Translator) -> Grid:
    rows = []
    for number, paths in zip(samples.numbers, samples.pictures, strict=True):
        name = named(verdict, number, say)
        tiles = [images.data_uri(open_rgb(path)) for path in paths]
        rows.append(GridRow(name, [], tiles, name, won=number == verdict.best))
    held_out = [dataset.examples[i].path for i in dataset.split.validation[: len(samples.prompts)]]
    if held_out:
        real: list[str | None] = [images.data_uri(open_rgb(path)) for path in held_out]
        real += [None] * (len(samples.prompts) - len(real))
        rows.append(GridRow(say("held-out image"), [], real, say("held-out image"), "real"))
    prompts = [say("prompt {name}", name=prompt) for prompt in samples.prompts]
    return Grid(say("Pictures"), "", prompts, rows)
