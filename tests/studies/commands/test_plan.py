"""What is told of a study before it starts."""

from __future__ import annotations

import json

from studies.commands.plan import forecast
from studies.study.preflight import examine


def test_the_whole_study_is_its_trials_and_no_more_than_its_budget(small_study) -> None:
    path = small_study(trials=4, images=32)
    spec, dataset = examine(path)
    found = forecast(spec, dataset, measure=False)
    low, high = found.to_json()["trial"]["images_seen"]
    assert found.study_images == (4 * low, 4 * high)
    assert found.study_checkpoints is not None
    assert found.study_checkpoints[1] == 4 * max(one.epochs for one in found.trials)
    assert found.seconds is None
    assert found.pack == 3
    path.write_text(path.read_text().replace("trials = 4", "trials = 4\nimages = 50"))
    assert forecast(*examine(path), measure=False).study_images == (50, 50)
    path.write_text(path.read_text().replace("trials = 4\n", ""))
    endless = forecast(*examine(path), measure=False)
    assert (endless.study_images, endless.study_checkpoints) == ((50, 50), None)
    json.dumps(endless.to_json())


def test_a_file_is_as_large_as_its_weights_in_its_number_format(small_study) -> None:
    spec, dataset = examine(small_study())
    found = forecast(spec, dataset, measure=False)
    assert found.file_bytes == 2 * found.memory.lora_parameters


def test_measured_time_is_all_images_at_the_measured_speed(small_study) -> None:
    path = small_study()
    path.write_text(path.read_text().replace("size = 3", "size = 2"))
    before = sorted(path.parent.rglob("*"))
    found = forecast(*examine(path), measure=True)
    assert sorted(path.parent.rglob("*")) == before
    assert found.readings[-1].size == 2
    assert found.seconds is not None and found.study_images is not None
    assert found.seconds[1] == found.study_images[1] / found.readings[-1].images_per_second


def test_an_optimiser_that_adapts_is_told_beside_a_searched_rate(small_study) -> None:
    path = small_study()
    (share,) = forecast(*examine(path), measure=False).notes
    path.write_text(path.read_text().replace('"adamw", "lion"', '"adamw", "prodigy"'))
    first, note = forecast(*examine(path), measure=False).notes
    assert first == share
    assert note.startswith("prodigy finds its own learning rate")


def test_programs_that_cannot_read_an_algorithms_files_are_told(small_study) -> None:
    path = small_study()
    searched = '"lora.algorithm" = { choices = ["lora", "glora"] }\n"lora.rank"'
    path.write_text(path.read_text().replace('"lora.rank"', searched))
    told = [note for note in forecast(*examine(path), measure=False).notes if "glora" in note]
    assert told == ["glora is not read by A1111, diffusers: the file has no effect there."]


def test_what_judging_is_lowered_to_is_told(small_study) -> None:
    path = small_study()
    path.write_text(path.read_text().replace("steps = 3\n", "steps = 9\n"))
    (note,) = forecast(*examine(path), measure=False).notes
    assert note == (
        "Judging keeps to 15% of the training (judge.share): judge.outside_prompt_count 0 (of 4), "
        "judge.steps 3 (of 9), judge.guided 0.5 (of 0.6), judge.timesteps 2 (of 9)."
    )
