"""Builds judges: for a study's checkpoints and for files that ``judge`` is given alike."""

from __future__ import annotations

from evaluation.encoders import ClipEncoder, VisionEncoder
from evaluation.footprint import eyes
from evaluation.judge import Judge
from studies.engines.panels import panel
from studies.spec.sections import JudgeSection
from studies.study.exam import Exam
from trainer.adapters.bank import AdapterBank
from trainer.data.encoded import Encoded
from trainer.footprint.forecast import Eyes


def eyes_of(section: JudgeSection) -> Eyes:
    """What the models that look at renders will need of a device, from their configurations."""
    return eyes([name for name in (section.clip, section.image_encoder) if name])


class JudgeBuilder:
    """Judges of one data set on one bank; the models that look at pictures are loaded once.

    Args:
        section: how checkpoints are judged.
        data: the encoded data set and its base model.
        bank: where subjects are.
        seed: from which all that is drawn derives.
        resolution: side of the renders in pixels.
    """

    def __init__(
        self, section: JudgeSection, data: Encoded, bank: AdapterBank, seed: int, resolution: int
    ) -> None:
        self.section, self.data, self.bank = section, data, bank
        self._seed, self._resolution = seed, resolution
        clip, encoder = section.clip, section.image_encoder
        where = data.base.device, data.base.residency
        self._clip = ClipEncoder(clip, *where) if clip else None
        self._encoder = VisionEncoder(encoder, *where) if encoder else None

    def build(self, exam: Exam, fold: int | None = None, prompt_count: int | None = None) -> Judge:
        """A judge, which measures the base model at once.

        Args:
            exam: how thoroughly it judges.
            fold: of the data set, which it judges on; None takes the split's own held-out images.
            prompt_count: as for ``panel``; None takes the exam's.
        """
        count = exam.prompt_count if prompt_count is None else prompt_count
        dataset = self.data.dataset.fold(fold)
        asked = panel(self.section, dataset, exam, count, self._seed, self._resolution)
        return Judge(self.data, self.bank, asked, self._clip, self._encoder)
