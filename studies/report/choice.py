"""A choice in words: what it comes to, why the winner won, what became of the others (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.intervals import Estimate
from search.trial import Reason
from studies.report.diagnosis import diagnose
from studies.report.explanation import barring, figures, margin, rule, sentence
from studies.selection.document import MERITS, Considered, Explanation, Finalist, Key, Selection
from studies.study.trial import Origin, Trial
from studies.text.i18n import ENGLISH, Translator


def explained(selection: Selection) -> Selection:
    """The document with its English explanation."""
    warnings = selection.files.warnings if selection.files else ()
    told = Explanation(
        answer=answer(selection),
        reason=reason(selection),
        rule=rule(selection.rule),
        verdicts={one.file: verdict(selection, one) for one in selection.candidates if one.origin},
        diagnoses=diagnoses(selection),
        warnings=tuple(sentence(one) for one in warnings),
    )
    return selection.model_copy(update={"explanation": told})


def answer(selection: Selection, say: Translator = ENGLISH) -> str:
    """All that the choice comes to, the most important first; empty before there is a verdict."""
    return " ".join(_answered(selection, one, say) for one in selection.answers)


def headline(selection: Selection, use: str, say: Translator = ENGLISH) -> str:
    """The first sentence of a page: doubts, where there are any, else which checkpoint to use."""
    doubted = any(one.code not in MERITS for one in selection.answers)
    return answer(selection, say) if doubted else use


def baselines(selection: Selection, say: Translator = ENGLISH) -> list[str]:
    """By how much the winner beats what people would have trained without a search, a sentence a recipe."""
    return [
        say(
            "Against the study file's recipe {name}, trained to its end without pruning: {mean:+.2f} ± {error:.2f}.",
            name=named(selection, one, say),
            mean=one.lead.mean,
            error=one.lead.standard_error,
        )
        for one in selection.baselines
    ]


def _answered(selection: Selection, answer: Reason, say: Translator) -> str:
    values = figures(answer)
    match answer.code:
        case "worse_than_base":
            return say(
                "Nothing beats the base model: the best checkpoint found is {mean:.2f} ± {error:.2f} against it.",
                **values,
            )
        case "not_above_base":
            return say(
                "Nothing clearly beats the base model: the best checkpoint found is {mean:+.2f} ± {error:.2f} "
                "ahead of it, which may be noise.",
                **values,
            )
        case "guard_on_test":
            barred = sentence(barring(answer), say)
            return say("Do not use it: on the test images {reason}.", reason=barred)
        case "recipe_better":
            return say(
                "The search did not help: the study file's own recipe, {name}, is {mean:.2f} ± {error:.2f} better "
                "on the test images. Use that.",
                name=named(selection, Key.of_reason(answer), say),
                **values,
            )
        case "cannot_tell" | "cannot_ever_tell":
            return _undecided(selection, answer, say)
        case "maybe_better":
            return say(
                "It seems to beat the base model, by {mean:.2f} ± {error:.2f}, which may be noise.", **values
            )
        case _:
            return say("It beats the base model by {mean:.2f} ± {error:.2f}.", **values)


def _undecided(selection: Selection, answer: Reason, say: Translator) -> str:
    cheapest, winner = named(selection, Key.of_reason(answer), say), named(selection, selection.winner, say)
    if selection.winner.recipe:
        text = say(
            "Cannot tell whether anything beats the study file's own recipe, {winner}, which is handed over: {rivals} "
            "trials differ by no more than noise. The cheapest of them is {name}.",
            winner=winner,
            name=cheapest,
            **answer.values,
        )
    else:
        text = say(
            "Cannot tell which of {rivals} is best: they differ by no more than noise. The cheapest of them is {name}.",
            name=cheapest,
            **answer.values,
        )
    if answer.code == "cannot_ever_tell":
        return text + say(" No number of held-out images in reach would tell them apart.")
    return text + say(" About {images} more held-out images would tell them apart.", **answer.values)


def checkpoint(trial: int, epoch: int, say: Translator) -> str:
    """What a study's checkpoint is called."""
    return say("trial {trial}, epoch {epoch}", trial=trial, epoch=epoch)


def earlier_tests(selection: Selection, say: Translator = ENGLISH) -> str:
    """That earlier choices met the test images too; empty where none did."""
    others = say("; ").join(checkpoint(key.trial, key.epoch, say) for key in selection.tested_before)
    return say("Earlier choices met these images too: {others}.", others=others) if others else ""


def named(selection: Selection, key: Key, say: Translator = ENGLISH) -> str:
    """What a checkpoint is called; files by their run, where there are several, and their number."""
    if selection.files is None:
        return checkpoint(key.trial, key.epoch, say)
    origin = selection.candidates[key.trial].origin
    assert origin is not None
    label = labelled(origin, say)
    return label if len(selection.files.runs) == 1 else say("{run}, {label}", run=origin.run, label=label)


def labelled(origin: Origin, say: Translator = ENGLISH) -> str:
    """What a file is called among those of its run."""
    if origin.label == "last":
        return say("the last epoch")
    return say("epoch {label}", label=origin.label) if origin.unit == "epoch" else origin.label


def reason(selection: Selection, say: Translator = ENGLISH) -> str:
    """Why the winner won."""
    if not selection.final:
        return _provisional(selection, say)
    return (
        _of_files(selection, say) if selection.files else _of_study(selection, say) + averages(selection, say)
    )


def averages(selection: Selection, say: Translator = ENGLISH) -> str:
    """What became of averages that were tried in the winner's stead; empty where none were."""
    texts = []
    for one in selection.averages:
        values = {
            "members": say("; ").join(checkpoint(key.trial, key.epoch, say) for key in one.members),
            "mean": one.lead.mean,
            "error": one.lead.standard_error,
        }
        if one.won:
            texts.append(
                say(
                    " Handed over is the mean of {members}, which is {mean:.3f} ± {error:.3f} better than that "
                    "checkpoint alone.",
                    **values,
                )
            )
        else:
            texts.append(say(" The mean of {members} was tried too ({mean:+.3f} ± {error:.3f}).", **values))
    return "".join(texts)


def verdict(selection: Selection, choice: Considered, say: Translator = ENGLISH) -> str:
    """What became of a file: the last column of a table."""
    again = selection.finalist(choice)
    match selection.verdict(choice):
        case "best":
            best = selection.confirmation is None or choice.key == (
                selection.confirmation.best.trial,
                selection.confirmation.best.epoch,
            )
            return say("best") if best else say("chosen")
        case "unusable":
            trouble = choice.scores.unusable
            return say("unusable: {reason}", reason=sentence(trouble, say) if trouble else "")
        case "barred":
            barred = again.barred if again and again.barred else choice.barred
            return say("barred: {reason}", reason=_told(barred, say))
        case "behind":
            return say("behind")
        case "close":
            later = choice.images_seen > selection.winner.images_seen
            return say("as good, but later") if later else say("as good")
        case "judged_again":
            return say("behind, judged again")


def diagnoses(selection: Selection, say: Translator = ENGLISH) -> dict[str, str]:
    """What the curve of each run of several files says."""
    runs: dict[str, list[Considered]] = {}
    for one in selection.candidates:
        if one.origin:
            runs.setdefault(one.origin.run, []).append(one)
    found = {run: diagnose(as_trial(of)) for run, of in runs.items() if len(of) > 1}
    return {run: one.advised(say) for run, one in found.items() if one is not None}


def as_trial(files: Sequence[Considered], number: int = 0) -> Trial:
    """The files of one run as a trial with a checkpoint each."""
    return Trial(number, {}, "finished", tuple(one.checkpoint for one in files))


def _provisional(selection: Selection, say: Translator) -> str:
    if selection.winner.recipe:
        text = say("Nothing clearly beats the study file's own recipe so far; not yet confirmed.")
    elif within := _given_away(selection, say):
        text = say(
            "The earliest checkpoint within {margin} of the best so far; not yet confirmed.", margin=within
        )
    else:
        text = say("The best checkpoint so far; not yet confirmed.")
    if selection.winner.barred is None:
        return text
    return text + say(
        " A guard bars every checkpoint so far; of this one, {reason}.",
        reason=_told(selection.winner.barred, say),
    )


def _of_study(selection: Selection, say: Translator) -> str:
    assert selection.confirmation is not None
    winner, best = _winner(selection), selection.close[0]
    free = [f for f in selection.finalists if f.barred is None] or selection.finalists
    text = _merit(selection, winner, best, len(free), say)
    if rivals := [f for f in selection.close if f.trial != winner.trial]:
        text += say(
            " It cannot be told apart from {others}: the difference lies within one standard error.",
            others=say("; ").join(_seen(rival, say) for rival in rivals),
        )
    return text + _guarded(winner, selection.finalists, say)


def _merit(selection: Selection, winner: Finalist, best: Finalist, count: int, say: Translator) -> str:
    name, within = _capital(_seen(winner, say)), _given_away(selection, say)
    if winner.key == best.key:
        return _best(selection, name, count, say)
    if selection.winner.recipe:
        return say(
            "{name} is a recipe of the study file, trained to its end; the best of {count} confirmed checkpoints, "
            "{best}, is less than {margin} ahead of it.",
            margin=margin(selection.rule.confirm.recipe_margin, say),
            name=name,
            count=count,
            best=_seen(best, say),
        )
    return say(
        "{name} is the earliest of {count} confirmed checkpoints within {margin} of the best, {best}.",
        margin=within,
        name=name,
        count=count,
        best=_seen(best, say),
    )


def _best(selection: Selection, name: str, count: int, say: Translator) -> str:
    if selection.winner.recipe:
        return say(
            "{name}, a recipe of the study file trained to its end, is the best of {count} confirmed checkpoints.",
            name=name,
            count=count,
        )
    if within := _given_away(selection, say):
        return say(
            "{name} is the best of {count} confirmed checkpoints; none within {margin} is earlier.",
            margin=within,
            name=name,
            count=count,
        )
    return say("{name} is the best of {count} confirmed checkpoints.", name=name, count=count)


def _given_away(selection: Selection, say: Translator) -> str:
    """How much is given away for an earlier checkpoint; empty where nothing is."""
    given = selection.rule.confirm.preference
    return margin(given, say) if given else ""


def _guarded(winner: Finalist, finalists: Sequence[Finalist], say: Translator) -> str:
    if winner.barred is not None:
        return _all_barred(winner.barred, say)
    passed = [
        say(
            "{name}, because {reason}",
            name=checkpoint(f.trial, f.epoch, say),
            reason=_told(f.barred, say),
        )
        for f in finalists
        if f.barred is not None
    ]
    return say(" Passed over: {names}.", names=say("; ").join(passed)) if passed else ""


def _of_files(selection: Selection, say: Translator) -> str:
    assert selection.confirmation is not None
    winner, best = _winner(selection), selection.confirmation.best
    name, count = named(selection, winner, say), len(selection.finalists)
    called = _weighed(name, winner.objective, say)
    if name.startswith(("epoch ", "step ", "the last")):
        called = _capital(called)
    if count == 1:
        text = say("{name} is the only one that can be chosen.", name=called)
    elif winner.trial == best.trial:
        text = say(
            "{name} is the best of {count} that were judged again with fresh seeds.", name=called, count=count
        )
    else:
        again = selection.finalist(best)
        assert again is not None
        text = say(
            "{name} is the earliest of {count} that were judged again within {margin} of the best, {best}.",
            margin=_given_away(selection, say),
            name=called,
            count=count,
            best=_weighed(named(selection, best, say), again.objective, say),
        )
    if rivals := [f for f in selection.close if f.trial not in (winner.trial, best.trial)]:
        names = say("; ").join(named(selection, f, say) for f in rivals)
        text += say(" Nor can it be told apart from {names}.", names=names)
    if winner.barred is not None:
        text += _all_barred(winner.barred, say)
    return text


def _winner(selection: Selection) -> Finalist:
    """The winner as it was judged again."""
    found = selection.finalist(selection.winner)
    assert found is not None
    return found


def _all_barred(barred: Reason, say: Translator) -> str:
    return say(
        " A guard bars every one of them, so that none could be preferred; of this one, {reason}.",
        reason=_told(barred, say),
    )


def _told(barred: Reason | None, say: Translator) -> str:
    return sentence(barred, say) if barred else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _seen(finalist: Finalist, say: Translator) -> str:
    objective = finalist.objective
    return say(
        "{name} (objective {objective} after {images} images)",
        name=checkpoint(finalist.trial, finalist.epoch, say),
        objective=f"{objective.mean:.3f} ± {objective.standard_error:.3f}",
        images=finalist.images_seen,
    )


def _weighed(name: str, objective: Estimate, say: Translator) -> str:
    figures = f"{objective.mean:.2f} ± {objective.standard_error:.2f}"
    return say("{name} (objective {figures})", name=name, figures=figures)
