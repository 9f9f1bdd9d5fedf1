"""The table of optimisers: each is the class that sd-scripts takes, at its own scale of learning rates."""

from __future__ import annotations

from typing import get_args

import bitsandbytes
import dadaptation
import dadaptation.experimental.dadapt_adam_preprint
import dadaptation.experimental.dadapt_adan_ip
import lion_pytorch
import prodigyopt
import pytest
import torch
import transformers.optimization

from trainer.plans.optimiser import OptimiserName
from trainer.plans.optimiser_kinds import OPTIMISERS, keywords, made, own_rate

LIONS = {"lion", "lion8bit", "paged_lion8bit"}
CLASSES = {
    "adamw": torch.optim.AdamW,
    "adamw8bit": bitsandbytes.optim.AdamW8bit,
    "paged_adamw8bit": bitsandbytes.optim.PagedAdamW8bit,
    "lion": lion_pytorch.Lion,
    "lion8bit": bitsandbytes.optim.Lion8bit,
    "paged_lion8bit": bitsandbytes.optim.PagedLion8bit,
    "sgd_nesterov": torch.optim.SGD,
    "sgd_nesterov8bit": bitsandbytes.optim.SGD8bit,
    "dadaptation": dadaptation.experimental.dadapt_adam_preprint.DAdaptAdamPreprint,
    "dadapt_adam": dadaptation.DAdaptAdam,
    "dadapt_adagrad": dadaptation.DAdaptAdaGrad,
    "dadapt_adan": dadaptation.DAdaptAdan,
    "dadapt_adan_ip": dadaptation.experimental.dadapt_adan_ip.DAdaptAdanIP,
    "dadapt_lion": dadaptation.DAdaptLion,
    "dadapt_sgd": dadaptation.DAdaptSGD,
    "adafactor": transformers.optimization.Adafactor,
    "prodigy": prodigyopt.Prodigy,
}


def test_every_name_has_a_row() -> None:
    assert set(OPTIMISERS) == set(get_args(OptimiserName))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_each_name_is_the_library_class_of_sd_scripts(name: str) -> None:
    leaf = torch.nn.Parameter(torch.ones(4))
    built = made(name, [{"params": [leaf]}], **OPTIMISERS[name].preset, lr=own_rate(name, 1e-3))
    assert isinstance(built, CLASSES[name])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_rates_are_converted_from_the_scale_of_adamw(name: str) -> None:
    own = 1.0 if OPTIMISERS[name].adaptive else 1e-4 if name in LIONS else 3e-4
    assert own_rate(name, 3e-4) == pytest.approx(own)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_presets_are_arguments_that_the_class_takes(name: str) -> None:
    assert OPTIMISERS[name].preset.keys() <= set(keywords(name))
    assert not {"lr", "weight_decay", "params"} & set(keywords(name))


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("prodigy", "dadaptation"):
        made(name, [{"params": [torch.nn.Parameter(torch.ones(4))]}], lr=1.0)
    assert capfd.readouterr().out == ""
