"""Whose text encoder reads a subject's captions."""

from __future__ import annotations

import torch

from evaluation.subject import embed
from tests.evaluation.conftest import SUBJECTS, Stand


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
