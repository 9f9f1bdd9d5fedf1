"""What a study's winner and its finalists draw, as its page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from studies.report.image_grids import Evidence, Pair, SideBySide
from studies.report.page import Grid, GridRow
from studies.selection.document import Finalist, Selection
from studies.study.study import Study
from studies.study.trial import Trial
from studies.text.format import signed
from studies.text.i18n import Translator


@dataclass(frozen=True)
class PictureSection:
    """Pictures of a study.

    Attributes:
        study: opened.
        selection: what was chosen, for good or so far.
        champion: the winner's trial.
        say: the language.
    """

    study: Study
    selection: Selection
    champion: Trial
    say: Translator

    @cached_property
    def _evidence(self) -> Evidence:
        return Evidence(self.study, self.champion)

    @property
    def pairs(self) -> list[Pair]:
        """Renders of the winner beside the training image that each is most like."""
        return self._evidence.pairs(self.champion.at(self.selection.winner.epoch))

    def beside(self, finalists: Sequence[Finalist]) -> SideBySide | None:
        """Finalists side by side; None where fewer than two have pictures."""
        return self._evidence.side_by_side(finalists)

    @property
    def grid(self) -> Grid | None:
        """The winner's trial, epoch by epoch; None where it has no pictures."""
        say, found, winner = self.say, self._evidence.grid(), self.selection.winner
        if not found.rows:
            return None
        base = say("base model")
        rows = [GridRow(base, [say("without LoRA")], found.base, base, "base")] if found.base else []
        for row in found.rows:
            one, label = row.checkpoint, say("epoch {epoch}", epoch=row.checkpoint.epoch)
            notes = [
                say("{images} images", images=one.images_seen),
                say("objective {figure}", figure=signed(one.objective, 2)),
            ]
            rows.append(GridRow(label, notes, row.tiles, label, won=one.epoch == winner.epoch))
        if any(found.originals):
            label, note = say("your image"), say("held out, never trained on")
            rows.append(GridRow(label, [note], found.originals, say("held-out image"), "real"))
        text = say(
            "Trial {trial}, epoch by epoch, with the same prompts and seeds in every row. The chosen epoch is marked.",
            trial=winner.trial,
        )
        return Grid(say("What it draws"), text, found.prompts, rows)
