from search.trial import TrialRecord


def test_a_record_has_seen_the_images_of_its_last_card() -> None:
    cards = (
        {"epoch": 1, "images_seen": 40, "objective": 0.1},
        {"epoch": 2, "images_seen": 80, "objective": None},
    )
    assert TrialRecord(0, {}, "running", cards).images_seen == 80
    assert TrialRecord(0, {}, "running").images_seen == 0
