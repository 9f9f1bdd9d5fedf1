"""What a worker saves and judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.trial import Proposal
from studies.engines.engine import Scored
from studies.engines.inline import open_worker
from studies.study import beginning
from studies.study.exam import Exam
from tests.trainer.driving import relative_difference
from trainer.lora_files import file
from trainer.lora_files.content import gather, plain
from trainer.lora_files.layers import slot_state

RECIPE = {
    "optimiser.unet_lr": 3e-3,
    "optimiser.name": "adamw",
    "lora.rank": 4,
    "lora.text_encoder": True,
    "data.batch_size": 1,
    "data.repeats": 2,
}


def test_file_and_card_are_of_the_moving_average_and_training_goes_on_with_the_raw_weights(
    small_study, tmp_path: Path
):
    path = small_study(trials=1, images=32)
    text = (
        path.read_text().replace('clip = "', '# "').replace("[budget]", "[plan.ema]\ndecay = 0.99\n[budget]")
    )
    path.write_text(text + "[objective]\nvalidation = 1.0\n")
    opened = beginning.begin(path, tmp_path / "workspace")
    worker = open_worker(
        opened.spec, opened.workspace, opened.dataset, opened.seed, lambda images, loss: None
    )
    worker.admit(Proposal(0, RECIPE), [])
    (scored,) = worker.advance()
    assert isinstance(scored, Scored)
    pack = worker._pack
    bank, slot = pack.bank, pack.runs[0].slot
    tensors = file.read(opened.workspace.lora(0, 1)).tensors
    layers = plain(gather(tensors, pack.base.kohya_names, bank.layers))
    saved = slot_state(layers, bank.state(slot), bank.scales(slot))
    with pack.shown([0]):
        assert relative_difference(saved, bank.state(slot)) < 1e-3
    assert relative_difference(saved, bank.state(slot)) > 0.1
    worker.stop(0)
    (again,) = worker.examine([(0, 1)], Exam("validation", opened.spec.judge.timesteps, 2, 1, "search"))
    assert scored.checkpoint.scores.validation.mean == pytest.approx(again.validation.mean, abs=1e-3)


def test_copying_is_asked_at_every_checkpoint_and_other_prompts_at_the_last(small_study, tmp_path: Path):
    opened = beginning.begin(small_study(trials=1, images=40), tmp_path / "workspace")
    unspared = opened.spec.model_copy(update={"judge": opened.asked})
    worker = open_worker(unspared, opened.workspace, opened.dataset, opened.seed, lambda images, loss: None)
    units = worker.measure_units()
    assert {"validation", "clip_image", "clip_text", "style", "memorisation"} <= units.keys()
    worker.admit(Proposal(0, RECIPE), [])
    cards = []
    while not worker.idle:
        (scored,) = worker.advance()
        assert isinstance(scored, Scored)
        cards.append(scored.checkpoint.scores)
        if scored.last:
            worker.stop(0)
    assert len(cards) > 1
    assert ["flexibility" in card.metrics for card in cards] == [False] * (len(cards) - 1) + [True]
    assert all(card.metrics["memorisation"].level for card in cards)
    assert all(set(card.nearest_training or ()) <= set(opened.dataset.split.train) for card in cards)
    assert worker.seconds["judging"] > 0
