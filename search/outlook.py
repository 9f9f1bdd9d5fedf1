"""What may still be expected of a search: forecasts of its trials, and what one more would gain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from search.patience import ENDED
from search.samplers import derived_seed, startup_trials
from search.trial import Reason, TrialRecord, Value

if TYPE_CHECKING:
    from search.curve_model import Curve
    from search.memory import Memory
    from search.settings import SearchSettings
    from search.space import Space

FORECAST = "forecast"
"""Key of a trial's forecast among its attributes."""
OUTLOOK = "outlook"
"""Key of the study's latest outlook: trials ended, what one more would gain, and the leading trial's optimum."""
CANDIDATES = 96
"""Trials that are imagined to tell what one more would gain: two thirds anywhere, the others near the best."""


class Outlook:
    """Forecasts of one search, kept in its memory; nothing is done where its settings ask for none.

    Args:
        memory: the study.
        space: what is searched.
        settings: which forecasts are wanted.
        seed: of the study.
    """

    def __init__(self, memory: Memory, space: Space, settings: SearchSettings, seed: int) -> None:
        self._memory, self._space, self._settings, self._seed = memory, space, settings, seed
        self._gains: dict[tuple[int, int], float | None] = {}

    def note(self, number: int) -> None:
        """Keeps the forecast of a trial that is about to end, for samplers that learn from it."""
        if not self._settings.forecasts:
            return
        model = self._memory.curve_model(self._settings.horizon_images)
        own = self._memory.curve(number)
        if model is not None and own.points:
            self._memory.annotate(number, FORECAST, asdict(model.forecast(own)))

    def remember(self, records: Sequence[TrialRecord]) -> None:
        """Keeps what may be expected now, to be shown."""
        if not self._settings.forecasts:
            return
        gain, best = self._gain(records), _best(records)
        model = self._memory.curve_model(self._settings.horizon_images)
        if gain is not None and model is not None and best:
            leader = model.forecast(self._memory.curve(best[0].number))
            self._memory.remember(
                OUTLOOK,
                {
                    "ended": _ended(records),
                    "gain": gain,
                    "trial": best[0].number,
                    "images": leader.images_seen,
                    "best": leader.best,
                    "low": leader.low,
                    "high": leader.high,
                },
            )

    def hopeless(self, records: Sequence[TrialRecord]) -> Reason | None:
        """Why no more trials are begun; None while one more is expected to gain enough, or nothing can be told."""
        limit, ended = self._settings.patience.gain, _ended(records)
        if not limit or ended < startup_trials(self._trials):
            return None
        gain = self._gain(records)
        if gain is None or gain >= limit:
            return None
        return Reason("gain_below", {"gain": gain, "limit": limit})

    @property
    def _trials(self) -> int | None:
        settings = self._settings
        return settings.budget.whole_trials(settings.horizon_images * settings.runs)

    def _gain(self, records: Sequence[TrialRecord]) -> float | None:
        """What the most promising trial is expected to add to the best; None where too little is known."""
        key = len(records), sum(len(record.cards) for record in records)
        if key not in self._gains:
            model = self._memory.curve_model(self._settings.horizon_images)
            imagined = self._imagined(records)
            running = [self._memory.curve(record.number) for record in records if record.state == "running"]
            self._gains = {key: model.gain([*imagined, *running]) if model else None}
        return self._gains[key]

    def _imagined(self, records: Sequence[TrialRecord]) -> list[Curve]:
        """Trials that might be begun, the same for the same records."""
        from search.curve_model import Curve

        best = _best(records)[:4]
        drawn = []
        for place in range(CANDIDATES):
            near = best[place % len(best)].values if best and place % 3 == 0 else {}
            values = self._space.suggest(Imagined(derived_seed(self._seed, "imagined", place), near))
            drawn.append(Curve(-1 - place, values))
        return drawn


class Imagined:
    """Suggests values at random, each parameter by its name; near another trial's where it is given.

    Args:
        seed: of the trial.
        near: values of which about one in four is drawn anew.
    """

    def __init__(self, seed: int, near: Mapping[str, Value]) -> None:
        self._seed, self._near = seed, near

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A real, uniform on its scale."""
        if (kept := self._kept(name)) is not None:
            return min(max(float(kept), low), high)
        share = self._share(name)
        if log:
            return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        return low + share * (high - low)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """An integer, uniform on its scale."""
        if (kept := self._kept(name)) is not None:
            return min(max(int(kept), low), high)
        found = self.suggest_float(name, low, high, log=log)
        return min(low + round((found - low) / step) * step, high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        kept = self._kept(name)
        return kept if kept in choices else choices[int(self._share(name) * len(choices))]

    def _kept(self, name: str) -> Any:
        return None if derived_seed(self._seed, name, "anew") % 4 == 0 else self._near.get(name)

    def _share(self, name: str) -> float:
        return derived_seed(self._seed, name) / 2**32


def _best(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Feasible trials, the highest objective first."""
    usable = [
        record for record in records if record.curve and record.state in ("running", "finished", "pruned")
    ]
    return sorted(usable, key=lambda record: -max(point.objective for point in record.curve))


def _ended(records: Sequence[TrialRecord]) -> int:
    return sum(record.state in ENDED for record in records)
