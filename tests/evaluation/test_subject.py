"""Whose text encoder reads a subject's captions."""

from __future__ import annotations

from dataclasses import replace

import torch

from evaluation.subject import embed
from tests.evaluation.conftest import SUBJECTS, Stand
from trainer.bases.prompts import PromptRules
from trainer.data.dataset import Handling
from trainer.data.encoded import Encoded


def test_only_a_trained_text_encoder_reads_differently(stand: Stand) -> None:
    captions = ["a heart", "a drum"]
    found = embed(stand.data, stand.bank, SUBJECTS, captions).embeddings
    bare = stand.data.text(captions, [1, 1]).embeddings
    torch.testing.assert_close(found[0], bare)
    torch.testing.assert_close(found[1], bare)
    assert float((found[2] - bare).abs().max()) > 0.05
    torch.testing.assert_close(found[3], stand.data.text(captions, [2, 2]).embeddings)
    assert float((found[3] - bare).abs().max()) > 0.05
    with stand.bank.rows([1]), torch.no_grad():
        alone = stand.data.base.encode_text(["a drum"], [1]).embeddings
    torch.testing.assert_close(found[2, 1:], alone, rtol=1e-4, atol=1e-5)


def test_long_and_weighted_prompts_are_read_by_the_same_rules_for_every_subject(stand: Stand) -> None:
    handling = Handling(max_token_length=150, weighted_captions=True)
    data = Encoded(replace(stand.data.dataset, handling=handling), stand.data.base, stand.data.cache)
    prompts = ["a (red:1.4) heart", "heart, " * 60]
    found = embed(data, stand.bank, SUBJECTS, prompts).embeddings
    assert found.shape[2] == 152
    torch.testing.assert_close(found[0], data.text(prompts, [1, 1]).embeddings)
    with stand.bank.rows([1, 1]), torch.no_grad():
        wanted = data.base.encode_text(prompts, [1, 1], PromptRules(2, weighted=True)).embeddings
    torch.testing.assert_close(found[2], wanted)
    assert not torch.allclose(found[2], found[0], atol=1e-3)
