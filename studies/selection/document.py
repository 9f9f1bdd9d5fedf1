"""What a choice came to: one document for a study and for files that ``judge`` is given."""

from __future__ import annotations

import json
from typing import Any, Literal, Self

from pydantic import Field, ValidationError

from evaluation.intervals import Estimate
from evaluation.scorecard import ScoreCard
from search.objective import Measurement
from search.selection import Candidate
from search.trial import Reason, Value
from studies.errors import StudyError
from studies.selection.older_formats import upgraded
from studies.selection.rule import Rule
from studies.spec.sections import ConfirmSection
from studies.study.trial import AnyReason, Checkpoint, MaybeReason, Origin
from studies.workspace import Document, Workspace, write_json

FORMAT: Literal[3] = 3
"""Of the document; 1 had sentences in place of values, 2 weighed metrics by their noise."""

REFUSALS = frozenset({"worse_than_base", "not_above_base", "guard_on_test"})
"""Answers that say that the winner should not be used."""
MERITS = frozenset({"better", "maybe_better"})
"""Those that raise no doubt, the one beyond noise, the other not quite."""

Verdict = Literal["best", "close", "judged_again", "behind", "barred", "unusable"]
"""What became of a checkpoint: ``close`` is within one standard error of the best but later."""


APART = 1_000_000
"""Epochs of averages lie so far beyond those that are trained: the first of epoch 4 is kept as 1,000,004."""


class Key(Document):
    """Names a checkpoint."""

    trial: int
    epoch: int

    @property
    def key(self) -> tuple[int, int]:
        """By what it is found."""
        return self.trial, self.epoch

    @property
    def trained(self) -> Key:
        """The trained checkpoint that an average is kept beside; of a trained one, itself."""
        return Key(trial=self.trial, epoch=self.epoch % APART)

    @classmethod
    def of_reason(cls, reason: Reason) -> Self:
        """That which a reason tells of."""
        return cls.model_validate({name: reason.values[name] for name in cls.model_fields})

    @classmethod
    def of(cls, candidate: Candidate) -> Self:
        """That of a candidate."""
        return cls(trial=candidate.trial, epoch=candidate.epoch)


class Considered(Key):
    """A checkpoint as the choice saw it in the search."""

    images_seen: int
    rank: int
    file: str
    """In a study, relative to its workspace."""
    scores: ScoreCard
    objective: Estimate | None
    """By the rule; None where the checkpoint is unusable."""
    barred: MaybeReason = None
    origin: Origin | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """With the objective that the choice weighed."""
        weighed = self.objective
        return Checkpoint(
            trial=self.trial,
            epoch=self.epoch,
            images_seen=self.images_seen,
            rank=self.rank,
            file=self.file,
            scores=self.scores,
            objective=weighed.mean if weighed else None,
            objective_error=weighed.standard_error if weighed else None,
            barred=self.barred,
            origin=self.origin,
        )


class Winner(Considered):
    """The checkpoint that is handed over; its objective is that of the confirmation, if there was one."""

    params: dict[str, Value] = Field(default_factory=dict)
    """The searched parameters of its trial."""
    recipe: bool = False
    """Whether it is the last epoch of one of the study file's own recipes."""
    average_of: tuple[Key, ...] = ()
    """The checkpoints whose mean is handed over, its own first; none where it is handed over itself."""


class Finalist(Key):
    """A checkpoint that was judged again."""

    images_seen: int
    objective_before: Estimate
    """In the search."""
    objective: Estimate
    """Judged again with fresh seeds."""
    close: bool
    """Whether it lies within one standard error of the best."""
    barred: MaybeReason
    rounds: int
    """How often it was measured again."""
    scores: ScoreCard
    """The fresh ones."""


class AverageFound(Document):
    """A mean of checkpoints' weight differences, judged as the winner was."""

    members: tuple[Key, ...]
    """The winner's own checkpoint first."""
    objective: Estimate
    lead: Estimate
    """How far it is ahead of that checkpoint, cell by cell."""
    barred: MaybeReason = None
    won: bool
    """Whether it is handed over in that checkpoint's stead."""
    file: str
    scores: ScoreCard


class Baseline(Key):
    """A recipe of the study file at its last epoch, untouched by the search, on the test images."""

    images_seen: int
    scores: ScoreCard
    lead: Estimate
    """How far the winner is ahead of it there, in the objective's unit, cell by cell."""


class Confirmation(Document):
    """How the finalists fared when they were judged again."""

    separable: bool
    """Whether no other trial's checkpoint lies within one standard error of the best."""
    best: Key
    """The highest objective, often the winner's."""
    rounds: int
    care: ConfirmSection = ConfirmSection()
    """How thoroughly they were measured each time."""
    finalists: tuple[Finalist, ...]


class ImageCounts(Document):
    """How many images stand on each side."""

    train: int
    validation: int
    test: int
    never_trained_on: bool = True
    """Whether it is certain that no checkpoint was trained on the held-out ones."""


class Run(Document):
    """Files that belong together."""

    run: str
    files: int


class Files(Document):
    """What ``judge`` was asked about."""

    base: str
    clip: str | None
    resolution: int
    """Side of images and renders in pixels."""
    runs: tuple[Run, ...]
    warnings: tuple[Reason, ...] = ()
    """What their owner should know of the images."""


class Explanation(Document):
    """The document in English, for people who read it; it is made from the values, and never read back."""

    answer: str = ""
    reason: str
    rule: str
    verdicts: dict[str, str] = Field(default_factory=dict)
    """Of each judged file, by its path."""
    diagnoses: dict[str, str] = Field(default_factory=dict)
    """Of each judged run of several files."""
    warnings: tuple[str, ...] = ()


class Selection(Document):
    """Which checkpoint wins, by what rule, and all that it was compared with."""

    format: Literal[3] = FORMAT
    name: str
    """The study's, or the first run's."""
    seed: int
    trials: int
    """How many the choice was made among."""
    rule: Rule
    winner: Winner
    confirmation: Confirmation | None = None
    """None where the choice is made from the search's scores alone."""
    averages: tuple[AverageFound, ...] = ()
    """Means of checkpoints that were tried in the winner's stead."""
    test: ScoreCard | None = None
    """The winner on images that nothing was chosen by."""
    tested_before: tuple[Key, ...] = ()
    """Other checkpoints that have met these images."""
    baselines: tuple[Baseline, ...] = ()
    """What people would have trained without a search; the winner itself is left out."""
    answers: tuple[AnyReason, ...] = ()
    """What the choice comes to, the most important first; none before the finalists were judged again."""
    shares_of_variance: dict[str, float]
    """Each metric's share in the differences between checkpoints."""
    pareto: tuple[Key, ...]
    candidates: tuple[Considered, ...] = Field(min_length=1)
    """Every scored checkpoint."""
    images: ImageCounts | None = None
    files: Files | None = None
    """None for a study."""
    explanation: Explanation | None = None

    @property
    def summary(self) -> str:
        """What it comes to, in English."""
        return self.explanation.answer if self.explanation else ""

    @property
    def refused(self) -> bool:
        """Whether nobody should use the winner."""
        return any(answer.code in REFUSALS for answer in self.answers)

    @property
    def final(self) -> bool:
        """Whether finalists were judged again."""
        return self.confirmation is not None

    @property
    def finalists(self) -> tuple[Finalist, ...]:
        """Those that were judged again."""
        return self.confirmation.finalists if self.confirmation else ()

    @property
    def close(self) -> list[Finalist]:
        """Finalists within one standard error of the best, the best first."""
        return sorted((f for f in self.finalists if f.close), key=lambda f: -f.objective.mean)

    @property
    def finest(self) -> ScoreCard:
        """The winner's scores with the most timesteps: those of the confirmation, if there was one."""
        averages = (one.scores for one in self.averages if one.won)
        again = self.finalist(self.winner)
        return next(averages, again.scores if again else self.winner.scores)

    def finalist(self, of: Key) -> Finalist | None:
        """A checkpoint as it was judged again; None if it was not."""
        return next((f for f in self.finalists if f.key == of.key), None)

    def verdict(self, choice: Considered) -> Verdict:
        """What became of a checkpoint."""
        again = self.finalist(choice)
        if choice.key == self.winner.key:
            return "best"
        if choice.objective is None:
            return "unusable"
        if choice.barred or (again and again.barred):
            return "barred"
        if again is None:
            return "behind"
        return "close" if again.close else "judged_again"

    def stands(self, rule: Rule, trials: int) -> bool:
        """Whether it was made among so many trials, by the rule as it is now."""
        return self.trials == trials and self.rule.asked == rule.asked

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return self.model_dump(mode="json")


def considered(checkpoint: Checkpoint, candidate: Candidate | None) -> Considered:
    """A checkpoint as the choice saw it.

    Args:
        checkpoint: with the search's scores.
        candidate: the same in the choice's terms; None where it is unusable.
    """
    return Considered(
        trial=checkpoint.trial,
        epoch=checkpoint.epoch,
        images_seen=checkpoint.images_seen,
        rank=checkpoint.rank,
        file=checkpoint.file,
        scores=checkpoint.scores,
        objective=estimated(candidate.objective) if candidate else None,
        barred=candidate.barred if candidate else None,
        origin=checkpoint.origin,
    )


def estimated(of: Measurement) -> Estimate:
    """A measurement as documents hold it."""
    return Estimate(mean=of.mean, standard_error=of.standard_error)


def parse(stored: Any) -> Selection | None:
    """A stored document; None where there is none, or one that this version cannot read."""
    try:
        return Selection.model_validate(upgraded(stored)) if isinstance(stored, dict) else None
    except (ValidationError, KeyError, TypeError, ValueError):
        return None


def read(workspace: Workspace) -> Selection | None:
    """The content of selection.json; None before the study's first choice.

    Raises:
        StudyError: the file is broken, or of another version.
    """
    path = workspace.selection
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StudyError(
            f"{path}: the verdict cannot be read ({error}); `lorasearch run` writes it again."
        ) from error
    found = parse(stored)
    if found is None:
        raise StudyError(
            f"{path}: the verdict was written by another version of lorasearch, or changed; `lorasearch run` on the "
            "study file reaches it again from what is stored, without training anew."
        )
    return found


def write(workspace: Workspace, selection: Selection) -> None:
    """Writes selection.json, whole or not at all."""
    write_json(workspace.selection, selection.to_json())
