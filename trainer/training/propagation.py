"""One forward and backward pass over the next batches of several runs."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.adapters.bank import AdapterBank
from trainer.data.encoded import Encoded
from trainer.sending import send
from trainer.training import losses
from trainer.training.batch import Rows, gather, numbers, text
from trainer.training.run import TrainingRun


def forward_backward(runs: list[TrainingRun], data: Encoded, bank: AdapterBank) -> Tensor:
    """Adds the runs' gradients to the bank; each run's mean squared error over its training images, shape (runs,).

    Args:
        runs: whose next images share a size.
        data: the encoded data set and its base model.
        bank: where the runs' slots are.
    """
    base, batch = data.base, gather(runs, data, bank.dtype)
    for run in runs:
        if run.opens_window:
            bank.gradients(run.slot).zero_()
    told, process = text(batch, data, bank), base.process
    with bank.rows(batch.slots, batch.presentations):
        said = base.predict(batch.inputs, batch.timesteps, told, numbers(batch, data))
        wanted = process.target(batch.latents, batch.noise, send(batch.levels, base.device))
        squared = losses.squared_error(said, wanted)
        minimised = losses.minimised(squared, said, wanted, batch.noise_plans)
        factors = send(coefficients(batch, process.prediction_type).to(squared.dtype), squared.device)
        torch.autograd.backward((minimised * factors).sum())
    return means(squared.detach(), batch)


def coefficients(rows: Rows, prediction_type: str) -> Tensor:
    """Each row's factor in the sum of all losses: its loss weight / its window's images * loss scale."""
    factors = torch.ones(len(rows.owner), dtype=torch.float64)
    for row, i in enumerate(rows.owner):
        run, plan = rows.runs[i], rows.runs[i].plan.noise
        if plan.weighs:
            factors[row] = losses.weight(rows.levels[row], plan, prediction_type)
        prior = rows.priors[row]
        factors[row] *= (1.0 if prior is None else prior) * run.stepper.scaler.get_scale() / run.window_images
    return factors


def means(values: Tensor, rows: Rows) -> Tensor:
    """The mean of each run over its training images: (rows,) -> (runs,), float64."""
    trained = [
        0.0 if prior is not None else 1 / rows.runs[i].next_batch.training
        for i, prior in zip(rows.owner, rows.priors, strict=True)
    ]
    shares = send(torch.tensor(trained, dtype=torch.float64), values.device)
    sums = torch.zeros(len(rows.runs), dtype=torch.float64, device=values.device)
    return sums.index_add_(0, send(torch.tensor(rows.owner), values.device), values.double() * shares)
