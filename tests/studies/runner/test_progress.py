import io

from rich.console import Console

from evaluation.intervals import Estimate
from evaluation.scorecard import Measured, ScoreCard
from search.trial import Reason
from studies.runner.progress import Bars, LineLog
from studies.study.trial import Checkpoint, Trial
from studies.text.format import described

CHECKPOINT = Checkpoint(
    trial=0,
    epoch=2,
    images_seen=80,
    rank=8,
    file="x",
    objective=1.5,
    scores=ScoreCard(
        metrics={"validation": Measured(difference=Estimate(mean=-0.03, standard_error=0.01))},
        validation_by_timestep=(),
        training=None,
        broken=0,
        renders=0,
    ),
)


def play(watch: LineLog | Bars) -> None:
    with watch:
        watch.phase("searching")
        watch.started(0, {"optimiser.unet_lr": 0.00123, "lora.rank": 8}, resumed=False)
        watch.stepped(4, 0.5)
        watch.checkpoint(CHECKPOINT)
        watch.ended(Trial(0, {}, "infeasible", reason=Reason.told("the loss became nan")))


def test_the_log_has_a_line_for_every_event():
    out = io.StringIO()
    play(LineLog(Console(file=out, width=200)))
    text = out.getvalue()
    assert "trial   0 started: unet_lr 0.00123, rank 8" in text
    assert "epoch  2,    80 images: validation -0.030 ± 0.010, objective +1.50" in text
    assert "trial   0 infeasible: the loss became nan" in text


def test_the_bars_show_the_best_so_far():
    out = io.StringIO()
    play(Bars(Console(file=out, width=200, force_terminal=True), trials=1, images=100))
    assert "· best " in out.getvalue()
    assert ": trial 0, epoch " in out.getvalue()


def test_values_are_named_by_their_last_word():
    assert described({"lora.rank": 8, "noise.offset": 0.05}) == "rank 8, offset 0.05"
