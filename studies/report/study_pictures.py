"""What the winner's trial draws, as the page of a study shows it."""

from __future__ import annotations

from studies.report.image_grids import Evidence
from studies.report.page import Grid, GridRow
from studies.selection.document import Selection
from studies.text.format import signed
from studies.text.i18n import Translator


def grid(evidence: Evidence, selection: Selection, say: Translator) -> Grid | None:
    """The winner's trial, epoch by epoch; None where it has no pictures."""
    found, winner = evidence.grid(), selection.winner
    if not found.rows:
        return None
    base = say("base model")
    rows = [GridRow(base, [say("without LoRA")], found.base, base)] if found.base else []
    for row in found.rows:
        one, label = row.checkpoint, say("epoch {epoch}", epoch=row.checkpoint.epoch)
        notes = [
            say("{images} images", images=one.images_seen),
            say("objective {figure}", figure=signed(one.objective, 2)),
        ]
        rows.append(GridRow(label, notes, row.tiles, label, won=one.epoch == winner.epoch))
    if any(found.originals):
        label, note = say("your image"), say("held out, never trained on")
        rows.append(GridRow(label, [note], found.originals, say("held-out image"), ruled=True))
    text = say(
        "Trial {trial}, epoch by epoch, with the same prompts and seeds in every row. The chosen epoch is marked.",
        trial=winner.trial,
    )
    return Grid(say("What it draws"), text, found.prompts, rows)
