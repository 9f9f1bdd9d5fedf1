"""What the trials of a study suffer from, as its page shows it."""

from __future__ import annotations

from collections.abc import Sequence

from studies.report import diagnosis
from studies.report.page import Diagnosed
from studies.report.range_ends import ends_hit
from studies.report.trial_plots import STATES
from studies.study.study import Study
from studies.study.trial import Trial
from studies.text.i18n import Translator


def rows(trials: Sequence[Trial], say: Translator) -> list[Diagnosed]:
    """A row for every trial that has begun."""
    return [_diagnosed(trial, say) for trial in trials if trial.state != "waiting"]


def headline(trials: Sequence[Trial], say: Translator) -> str:
    """What most trials suffer from."""
    return diagnosis.headline([diagnosis.diagnose(trial) for trial in trials], say)


def advice(study: Study, trials: Sequence[Trial], say: Translator) -> list[str]:
    """Which ranges are too narrow."""
    return ends_hit(trials, study.spec.space.parameters, study.memory.importances(), say)


def _diagnosed(trial: Trial, say: Translator) -> Diagnosed:
    found = diagnosis.diagnose(trial)
    told = found is None or found.condition not in diagnosis.STOPPED
    return Diagnosed(
        trial=trial.number,
        state=say(STATES[trial.state]),
        condition=found.condition if found else "",
        name=say(diagnosis.CONDITIONS[found.condition]) if found else "–",
        sentence=found.told(say) if found else "",
        remedy=say(found.remedy) if found and found.remedy else "",
        reason=diagnosis.end(trial, say) if told else "",
        best=trial.best,
    )
