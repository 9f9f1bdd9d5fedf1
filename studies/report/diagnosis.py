"""What a trial's curves say, in a sentence and with the guides' remedy (pure)."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from evaluation.intervals import Estimate
from search.trial import Reason
from studies.report.explanation import barring, clause, sentence
from studies.report.findings import NOTICEABLE
from studies.study.trial import Checkpoint, Trial
from studies.text.i18n import ENGLISH, Translator, marked

Condition = Literal[
    "diverged",
    "overfit",
    "memorising",
    "forgetting",
    "underfit",
    "unclear",
    "unfinished",
    "untrained",
    "healthy",
]

REMEDIES: Mapping[Condition, str] = {
    "diverged": marked("lower the learning rate"),
    "overfit": marked("fewer repeats or epochs, a smaller rank or alpha, a larger batch"),
    "memorising": marked("fewer repeats or epochs, a smaller rank or alpha, more images"),
    "forgetting": marked("fewer repeats or epochs, a lower learning rate, regularisation images"),
    "underfit": marked("a higher learning rate, a larger alpha, more repeats or epochs"),
    "unclear": marked("more held-out images or timesteps, or longer training"),
    "unfinished": marked("train longer"),
    "untrained": "",
    "healthy": "",
}
"""What the guides do about it."""

CONDITIONS: Mapping[Condition, str] = {
    "diverged": marked("diverged"),
    "overfit": marked("overfit"),
    "memorising": marked("memorising"),
    "forgetting": marked("forgetting"),
    "underfit": marked("underfit"),
    "unclear": marked("unclear"),
    "unfinished": marked("unfinished"),
    "untrained": marked("untrained"),
    "healthy": marked("healthy"),
}

STOPPED: frozenset[Condition] = frozenset({"diverged", "untrained"})
"""Conditions whose sentence holds why the trial ended."""
_BLOWN_UP = frozenset(
    {
        "loss_not_finite",
        "gradient_not_finite",
        "loss_rose",
        "not_finite",
        "validation_not_finite",
        "renders_broken",
        "no_finite_objective",
    }
)
"""Codes of reasons for which the learning rate is to blame."""
NEGLIGIBLE = 0.01
"""Log ratio of losses that no one would see."""
FORGIVEN = 5.0
"""Points of 100 by which other prompts may be followed less well: the default of `guards.flexibility`."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a trial suffers from, if anything."""

    condition: Condition
    pattern: str
    """Its sentence with places for ``values``, of which a reason is said in the same language."""
    values: Mapping[str, object] = field(default_factory=dict)
    epoch: int | None = None
    """From when on; None where that has no meaning."""
    before: Diagnosis | None = None
    """What it suffered from on the way there."""

    @property
    def sentence(self) -> str:
        """What the curves say, in English."""
        return self.told(ENGLISH)

    def told(self, say: Translator) -> str:
        """What the curves say."""
        values = {k: clause(v, say) if isinstance(v, Reason) else v for k, v in self.values.items()}
        sentence = say(self.pattern, **values)
        return f"{sentence} {self.before.told(say)}" if self.before else sentence

    @property
    def remedy(self) -> str:
        """What the guides do about it; empty for a healthy trial."""
        return REMEDIES[self.condition]

    def advised(self, say: Translator) -> str:
        """What the curves say and what to do about it."""
        sentence = self.told(say)
        return (
            say("{sentence} Remedy: {remedy}.", sentence=sentence, remedy=say(self.remedy))
            if self.remedy
            else sentence
        )

    def __str__(self) -> str:
        return self.advised(ENGLISH)


def diagnose(trial: Trial) -> Diagnosis | None:
    """A trial's condition from its checkpoints; None before the first.

    Args:
        trial: of any state. A difference counts where it exceeds two standard errors of itself, measured on the
            same images.
    """
    reason = trial.reason or Reason("not_finite")
    if trial.state == "infeasible" and reason.code != "barred":
        return _stopped(reason)
    epochs = [one for one in trial.checkpoints if one.scores.unusable is None]
    if not epochs:
        return None
    best = min(epochs, key=lambda epoch: epoch.scores.validation.mean)
    for rule in (_diverged, _memorising, _forgetting, _unclear, _underfit, _overfit, _by_heart, _unfinished):
        if found := rule(epochs, best):
            return found
    gain = -100 * math.expm1(best.scores.validation.mean)
    return Diagnosis(
        "healthy",
        marked("Healthy: the validation loss fell by {gain} % and then stayed."),
        {"gain": f"{gain:.1f}"},
    )


def _stopped(reason: Reason) -> Diagnosis:
    """Of a trial that could not be trained on: its numbers blew up, unless something else was in the way."""
    if reason.code in _BLOWN_UP:
        return Diagnosis("diverged", marked("Diverged: {reason}."), {"reason": reason})
    return Diagnosis("untrained", marked("Not trained to the end: {reason}."), {"reason": reason})


def _diverged(epochs: Sequence[Checkpoint], best: Checkpoint) -> Diagnosis | None:
    """In the end worse than the base model even on images that it was trained on, or at every epoch."""
    last = epochs[-1].scores
    if not _worse(last.validation):
        return None
    factor = {"factor": f"{math.exp(last.validation.mean):.2f}"}
    if last.training is None and _worse(best.scores.validation):
        return Diagnosis(
            "diverged",
            marked(
                "Diverged: at every epoch the loss is above the base model's, in the end {factor} times as high."
            ),
            factor,
        )
    if last.training is None or not _worse(last.training):
        return None
    return Diagnosis(
        "diverged",
        marked(
            "Diverged: in the end the loss is {factor} times the base model's, and higher on training images too."
        ),
        factor,
    )


def _worse(found: Estimate) -> bool:
    """Whether a loss is above the base model's by more than a negligible amount, and its noise."""
    return _clearly(found.mean - NEGLIGIBLE, found)


def _memorising(epochs: Sequence[Checkpoint], best: Checkpoint) -> Diagnosis | None:
    """In the end its pictures are nearer to training images than to held-out ones, more than the base model's are."""
    since: Checkpoint | None = None
    for epoch in reversed(epochs):
        found = epoch.scores.metrics.get("memorisation")
        rise, level = (found.difference, found.level) if found else (None, None)
        if rise is None or level is None or not (_clearly(rise.mean, rise) and _clearly(level.mean, level)):
            break
        since = epoch
    if since is None:
        return None
    last = epochs[-1].scores.metrics["memorisation"]
    assert last.level is not None
    return Diagnosis(
        "memorising",
        marked(
            "Memorising from epoch {epoch}: in the end its pictures are {level} points nearer to training images than "
            "to held-out ones, {rise} more than the base model's."
        ),
        {
            "epoch": since.epoch,
            "level": f"{last.level.mean:.1f}",
            "rise": f"{last.difference.mean:.1f}",
        },
        since.epoch,
        _overfit(epochs, best),
    )


def _forgetting(epochs: Sequence[Checkpoint], best: Checkpoint) -> Diagnosis | None:
    """In the end it follows prompts outside the data set less well than the base model, by more than a little."""
    found = epochs[-1].scores.difference("flexibility")
    if found is None or not _clearly(-found.mean - FORGIVEN, found):
        return None
    return Diagnosis(
        "forgetting",
        marked(
            "Forgetting: in the end it follows prompts outside the data set {loss} points less well than the base "
            "model."
        ),
        {"loss": f"{-found.mean:.1f}"},
        None,
        _overfit(epochs, best),
    )


def _gained(epochs: Sequence[Checkpoint], best: Checkpoint) -> bool:
    """Whether the loss on held-out or on training images fell by more than a negligible amount, and its noise."""
    known = [best.scores.validation, epochs[-1].scores.training]
    return any(found is not None and _clearly(-found.mean - NEGLIGIBLE, found) for found in known)


def _unclear(epochs: Sequence[Checkpoint], best: Checkpoint) -> Diagnosis | None:
    """The validation loss fell by what could be much, or nothing."""
    found = best.scores.validation
    if _gained(epochs, best) or found.mean >= -NEGLIGIBLE or _clearly(-found.mean, found):
        return None
    return Diagnosis(
        "unclear",
        marked("Unclear: the validation loss fell by {fall} %, which may be noise."),
        {"fall": f"{-100 * math.expm1(found.mean):.1f}"},
    )


def _underfit(epochs: Sequence[Checkpoint], best: Checkpoint) -> Diagnosis | None:
    """Neither validation nor training loss moved by more than a negligible amount, or than the noise."""
    if _gained(epochs, best):
        return None
    return Diagnosis(
        "underfit",
        marked("Underfit: neither validation nor training loss fell by more than {share} and noise."),
        {"share": f"{NEGLIGIBLE:.0%}"},
    )


def _overfit(epochs: Sequence[Checkpoint], best: Checkpoint) -> Diagnosis | None:
    """Validation worsens after its best while training improves."""
    last = epochs[-1]
    rise, error = _change(best.scores.validation_by_image, last.scores.validation_by_image)
    if last is best or rise <= NOTICEABLE * error:
        return None
    before, after = best.scores.training, last.scores.training
    if before is not None and after is not None and _clearly(after.mean - before.mean, after):
        return Diagnosis(
            "diverged",
            marked(
                "Unsteady from epoch {epoch}: the loss rose on training images as well as on held-out ones."
            ),
            {"epoch": best.epoch},
            best.epoch,
        )
    return Diagnosis(
        "overfit",
        marked(
            "Overfit from epoch {epoch}: the validation loss rose again by {rise} % while the training images were "
            "learnt further."
        ),
        {"epoch": best.epoch, "rise": f"{100 * math.expm1(rise):.1f}"},
        best.epoch,
    )


def _by_heart(epochs: Sequence[Checkpoint], best: Checkpoint) -> Diagnosis | None:
    """The loss fell on training images, and on held-out ones never."""
    training, held_out = epochs[-1].scores.training, best.scores.validation
    if training is None or not _clearly(-training.mean - NEGLIGIBLE, training) or held_out.mean < -NEGLIGIBLE:
        return None
    return Diagnosis(
        "overfit",
        marked("Overfit from the start: the loss fell on training images, but never on held-out ones."),
        {},
        epochs[0].epoch,
    )


def _unfinished(epochs: Sequence[Checkpoint], best: Checkpoint) -> Diagnosis | None:
    """Validation still falls at the end."""
    if len(epochs) < 2 or best is not epochs[-1]:
        return None
    fall, error = _change(epochs[-1].scores.validation_by_image, epochs[-2].scores.validation_by_image)
    total = -best.scores.validation.mean
    if fall > NOTICEABLE * error and fall > 0.1 * total:
        return Diagnosis(
            "unfinished",
            marked("Unfinished: the validation loss still fell by {fall} % in its last epoch."),
            {"fall": f"{-100 * math.expm1(-fall):.1f}"},
        )
    return None


def _change(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """How much the mean over the same images rose, and the standard error of that difference."""
    rises = [b - a for a, b in zip(before, after, strict=True)]
    error = statistics.stdev(rises) / math.sqrt(len(rises)) if len(rises) > 1 else math.inf
    return statistics.fmean(rises), error


def _clearly(excess: float, found: Estimate) -> bool:
    """Whether a figure exceeds what it is compared with by more than its noise."""
    return excess > NOTICEABLE * found.standard_error


def end(trial: Trial, say: Translator = ENGLISH) -> str:
    """Why a trial ended, where something is recorded."""
    reason = trial.reason
    if reason is None:
        return ""
    if reason.code == "barred":
        return say("A guard bars every checkpoint: {reason}.", reason=sentence(barring(reason), say))
    return clause(reason, say) if trial.state == "finished" else sentence(reason, say)


def headline(found: Sequence[Diagnosis | None], say: Translator = ENGLISH) -> str:
    """How many trials suffer from what, as a sentence."""
    counts = Counter(diagnosis.condition for diagnosis in found if diagnosis is not None)
    ranked = counts.most_common()
    parts = [say("{count} {what}", count=count, what=say(CONDITIONS[name])) for name, count in ranked]
    return (
        say("Of {count} trials: {parts}.", count=sum(counts.values()), parts=say(", ").join(parts))
        if parts
        else ""
    )
