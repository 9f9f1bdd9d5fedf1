"""Emphasis as it is written, windows against a plain encoder, weights by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.bases.base_model import BaseModel
from trainer.bases.prompts import PLAIN, PromptRules, emphasised, parse, windows_needed, words

LONG = ", ".join(f"word{i} of many" for i in range(40))


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("", [("", 1.0)]),
        ("a red heart", [("a red heart", 1.0)]),
        ("a (red:1.3) heart", [("a ", 1.0), ("red", 1.3), (" heart", 1.0)]),
        ("(red)", [("red", 1.1)]),
        ("[red]", [("red", 1 / 1.1)]),
        ("((red))", [("red", 1.1 * 1.1)]),
        ("(a [b])", [("a ", 1.1), ("b", 1.0)]),
        ("((a:0.5) b:2)", [("a", 1.0), (" b", 2.0)]),
        (r"\(red\) \[x\] \\", [("(red) [x] \\", 1.0)]),
        (r"(a \(b\):1.5)", [("a (b)", 1.5)]),
        ("a: b, 10:30", [("a: b, 10:30", 1.0)]),
        ("(never closed", [("never closed", 1.1)]),
        ("a) b]", [("a) b]", 1.0)]),
        ("[x:0.5]", [("x:0.5", 1 / 1.1)]),
        ("(x: .5 )", [("x", 0.5)]),
    ],
)
def test_brackets_are_read_as_the_ecosystem_writes_them(prompt: str, wanted: list[tuple[str, float]]) -> None:
    found = parse(prompt)
    assert [text for text, _ in found] == [text for text, _ in wanted]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in wanted])


@given(st.text("ab :.1()[]\\", max_size=30))
def test_no_prompt_breaks_the_parser(prompt: str) -> None:
    found = parse(prompt)
    assert found
    assert all(isinstance(weight, float) for _, weight in found)


@given(st.text("ab, .:1", max_size=30))
def test_a_prompt_without_brackets_is_itself(prompt: str) -> None:
    assert parse(prompt) == [(prompt, 1.0)]


def test_an_encoder_without_weights_reads_the_words_alone() -> None:
    assert words(r"a (red:1.3) [heart\]]", PromptRules(weighted=True)) == "a red heart]"
    assert words("a (red:1.3) heart", PLAIN) == "a (red:1.3) heart"


def test_plain_captions_are_what_the_tokenizer_and_encoder_make(pristine_base: BaseModel) -> None:
    captions = ["a red heart", "", LONG]
    tokens = pristine_base.tokenizer(
        captions, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        wanted = pristine_base.text_encoder(tokens).last_hidden_state
        found = pristine_base.encode_text(captions, [1, 1, 1]).embeddings
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("windows", [2, 3])
def test_long_captions_are_encoded_in_windows_of_75(pristine_base: BaseModel, windows: int) -> None:
    """Cut, wrapped and put together by hand."""
    base = pristine_base
    ids = base.tokenizer(LONG, add_special_tokens=False).input_ids
    assert len(ids) > 75 * 2
    start, end = base.tokenizer.bos_token_id, base.tokenizer.eos_token_id
    ids = (ids + [end] * 225)[: 75 * windows]
    with torch.no_grad():
        parts = [
            base.text_encoder(torch.tensor([[start, *ids[at : at + 75], end]])).last_hidden_state[0]
            for at in range(0, 75 * windows, 75)
        ]
        (found,) = base.encode_text([LONG], [1], PromptRules(windows)).embeddings
    wanted = torch.cat([parts[0][:1], *(part[1:76] for part in parts), parts[-1][76:]])
    assert found.shape == (75 * windows + 2, base.unet.config.cross_attention_dim)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_clip_skip_holds_row_by_row_in_every_window(pristine_base: BaseModel) -> None:
    rules = PromptRules(2)
    with torch.no_grad():
        both = pristine_base.encode_text([LONG, LONG], [1, 2], rules).embeddings
        for row, skip in enumerate((1, 2)):
            alone = pristine_base.encode_text([LONG], [skip], rules).embeddings[0]
            torch.testing.assert_close(both[row], alone, rtol=0, atol=1e-5)
    assert not torch.allclose(both[0], both[1], atol=1e-2)


def test_weights_scale_tokens_and_restore_the_mean_where_asked_by_hand() -> None:
    embeddings = torch.tensor([[[1.0, 3.0], [2.0, 2.0], [5.0, -1.0]]])
    weights = torch.tensor([[1.0, 2.0, 1.0]])
    scaled = torch.tensor([[1.0, 3.0], [4.0, 4.0], [5.0, -1.0]])
    torch.testing.assert_close(emphasised(embeddings, weights)[0], scaled)
    found = emphasised(embeddings, weights, restored=True)
    torch.testing.assert_close(found[0], scaled * (12 / 6) / (16 / 6))
    assert found.mean() == pytest.approx(float(embeddings.mean()))


@pytest.mark.parametrize("restored", [False, True])
def test_only_the_emphasised_caption_changes_and_neighbours_do_not_matter(
    pristine_base: BaseModel, restored: bool
) -> None:
    captions = ["a red heart", "a (red:1.5) heart", "a \\(red\\) heart"]
    rules = PromptRules(weighted=True, restored=restored)
    with torch.no_grad():
        plain = pristine_base.encode_text(
            ["a red heart", "a red heart", "a (red) heart"], [1, 1, 1]
        ).embeddings
        found = pristine_base.encode_text(captions, [1, 1, 1], rules).embeddings
        (alone,) = pristine_base.encode_text(captions[1:2], [1], rules).embeddings
        unread = pristine_base.encode_text(captions, [1, 1, 1], PLAIN).embeddings
    assert torch.equal(found[[0, 2]], plain[[0, 2]])
    torch.testing.assert_close(found[1], alone)
    at = pristine_base.tokenizer("a red heart").input_ids.index(
        pristine_base.tokenizer("red", add_special_tokens=False).input_ids[0]
    )
    ratio = found[1] / plain[1]
    rest = float(ratio[0, 0])
    torch.testing.assert_close(ratio[at], torch.full_like(ratio[at], 1.5 * rest), rtol=1e-3, atol=1e-3)
    kept = abs(float(found[1].mean() - plain[1].mean()))
    assert kept < 1e-5 if restored else rest == pytest.approx(1.0) and kept > 1e-5
    assert not torch.equal(unread[1], found[1])


def test_as_many_windows_as_the_longest_caption_needs(pristine_base: BaseModel) -> None:
    tokenizer = pristine_base.tokenizer
    assert windows_needed(tokenizer, ["a", "b"], PromptRules(3)) == 1
    assert windows_needed(tokenizer, ["a", LONG], PromptRules(3)) == 3
    assert windows_needed(tokenizer, ["a", LONG], PromptRules(2)) == 2
    assert windows_needed(tokenizer, [" ".join(["a"] * 75)], PromptRules(3)) == 1
    assert windows_needed(tokenizer, [" ".join(["a"] * 76)], PromptRules(3)) == 2
    assert windows_needed(tokenizer, [], PromptRules(3)) == 1
