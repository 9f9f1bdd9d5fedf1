"""One trial with plain peft + diffusers in a process of its own; called by benchmarks/study.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor

from evaluation.encoders import ClipEncoder
from evaluation.metrics.similarity import image_image, text_image
from studies.spec.planner import Planner
from studies.study.beginning import reopen
from studies.study.study import Study
from trainer.adapters.targets import text_targets, unet_targets
from trainer.data.buckets import fit
from trainer.data.dataset import pixels
from trainer.data.images import open_rgb
from trainer.data.order import epoch_batches, steps_per_epoch
from trainer.plan import TrainingPlan
from trainer.training import losses, noise, optimisers, schedules


class Solo:
    """A trial as a user's own script would train and evaluate it."""

    def __init__(self, study: Study, plan: TrainingPlan) -> None:
        self.study, self.plan = study, plan
        self.pipe: Any = StableDiffusionPipeline.from_pretrained(plan.base.path, torch_dtype=torch.float32)
        self.pipe.set_progress_bar_config(disable=True)
        for model in (self.pipe.unet, self.pipe.text_encoder, self.pipe.vae):
            model.requires_grad_(False)
        self.alphas = self.pipe.scheduler.alphas_cumprod
        self.latents = {i: self._encode(i) for i in range(len(study.dataset.examples))}
        shape: dict[str, Any] = {"r": plan.lora.rank, "lora_alpha": plan.lora.file_alpha}
        self.pipe.unet.add_adapter(LoraConfig(target_modules=unet_targets(self.pipe.unet), **shape))
        if plan.lora.text_encoder:
            targets = text_targets(self.pipe.text_encoder)
            self.pipe.text_encoder.add_adapter(LoraConfig(target_modules=targets, **shape))

    def train(self, epochs: int, folder: Path) -> None:
        """Trains and saves every epoch."""
        plan, data = self.plan, self.study.dataset
        parts = [("unet", self.pipe.unet, 1.0)]
        parts.append(("text_encoder", self.pipe.text_encoder, plan.optimiser.text_lr_over_unet_lr))
        groups = [
            {
                "params": [p for p in model.parameters() if p.requires_grad],
                "lr": plan.optimiser.unet_lr * share,
            }
            for _, model, share in parts
        ]
        trained = [p for group in groups for p in group["params"]]
        optimiser = optimisers.build(plan.optimiser, groups)
        steps = steps_per_epoch(data.deck, data.sizes, plan.data.repeats, plan.data.batch_size)
        schedule = schedules.build(plan.schedule, optimiser, steps * plan.data.epochs)
        for epoch in range(epochs):
            batches = epoch_batches(
                data.deck, data.sizes, epoch, plan.data.repeats, plan.data.batch_size, plan.seed
            )
            for batch in batches:
                self._loss(batch).backward()
                torch.nn.utils.clip_grad_norm_(trained, plan.optimiser.max_grad_norm)
                optimiser.step()
                schedule.step()
                optimiser.zero_grad()
            self._save(folder / f"epoch-{epoch + 1}")

    def evaluate(self, folder: Path) -> None:
        """Validation loss, renders and CLIP scores of one saved epoch."""
        spec, data = self.study.spec, self.study.dataset
        self._load(folder)
        with torch.no_grad():
            for example in data.split.validation:
                self._validation(example, spec.judge.timesteps)
            captions = [data.examples[i].caption for i in data.split.validation]
            prompts = list(spec.judge.prompts or captions[: spec.judge.prompt_count])
            prompts *= spec.judge.seeds_per_prompt
            if not prompts:
                return
            scheduler = self.pipe.scheduler
            self.pipe.scheduler = DPMSolverMultistepScheduler.from_config(scheduler.config)
            renders = self.pipe(
                prompts,
                num_inference_steps=spec.judge.steps,
                guidance_scale=spec.judge.guidance,
                height=self.plan.data.resolution,
                width=self.plan.data.resolution,
                output_type="pt",
                callback_on_step_end=self._after_step,
                callback_on_step_end_tensor_inputs=["prompt_embeds"],
            ).images
            self.pipe.scheduler = scheduler
            if spec.judge.clip:
                self._clip_scores(renders, prompts)

    def _after_step(self, pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """Ends guidance where the judge does, in the way that diffusers documents."""
        judge = self.study.spec.judge
        if step + 1 == round(judge.guided * judge.steps) and pipe.do_classifier_free_guidance:
            pipe._guidance_scale = 1.0
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[1]
        return tensors

    def _clip_scores(self, renders: Tensor, prompts: list[str]) -> None:
        if not hasattr(self, "clip"):
            self.clip = ClipEncoder(str(self.study.spec.judge.clip), torch.device("cpu"))
            held_out = torch.stack([self._pixels(i) for i in self.study.dataset.split.validation])
            self.references = self.clip.images(held_out / 2 + 0.5)
        embedded = self.clip.images(renders)
        image_image(embedded, self.references)
        text_image(embedded, self.clip.texts(prompts))

    def _loss(self, batch: Any) -> Tensor:
        plan = self.plan
        latents = torch.cat([self.latents[i] for i in batch.examples])
        draws = [
            noise.draw(plan.seed, p, tuple(latents.shape[1:]), len(self.alphas)) for p in batch.presentations
        ]
        added = torch.stack([d.noise + plan.noise.offset * d.offset for d in draws])
        when = torch.tensor([d.timestep for d in draws])
        captions = [self.study.dataset.examples[i].caption for i in batch.examples]
        alphas = self.alphas[when]
        inputs = noise.noised(latents, added, alphas)
        said = self.pipe.unet(inputs, when, encoder_hidden_states=self._text(captions)).sample
        squared = losses.squared_error(said, added)
        if plan.noise.min_snr_gamma is not None:
            squared = squared * losses.min_snr_weight(alphas, plan.noise.min_snr_gamma, "epsilon")
        return squared.mean()

    def _validation(self, example: int, count: int) -> Tensor:
        latents = self.latents[example].expand(count, -1, -1, -1)
        when = (torch.arange(count) * len(self.alphas)) // count
        added = torch.randn_like(latents)
        inputs = self.pipe.scheduler.add_noise(latents, added, when)
        text = self._text([self.study.dataset.examples[example].caption]).expand(count, -1, -1)
        return losses.squared_error(self.pipe.unet(inputs, when, encoder_hidden_states=text).sample, added)

    def _text(self, captions: list[str]) -> Tensor:
        tokens = self.pipe.tokenizer(
            captions, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
        ).input_ids
        embedded: Tensor = self.pipe.text_encoder(tokens)[0]
        return embedded

    def _pixels(self, example: int) -> Tensor:
        data = self.study.dataset
        return pixels(fit(open_rgb(data.examples[example].path), data.sizes[example]))

    @torch.no_grad()
    def _encode(self, example: int) -> Tensor:
        vae = self.pipe.vae
        latents: Tensor = vae.encode(self._pixels(example).unsqueeze(0)).latent_dist.mode()
        return latents * vae.config.scaling_factor

    def _save(self, folder: Path) -> None:
        layers = {"unet_lora_layers": get_peft_model_state_dict(self.pipe.unet)}
        if self.plan.lora.text_encoder:
            layers["text_encoder_lora_layers"] = get_peft_model_state_dict(self.pipe.text_encoder)
        StableDiffusionPipeline.save_lora_weights(folder, **layers)

    def _load(self, folder: Path) -> None:
        self.pipe.unload_lora_weights()
        self.pipe.load_lora_weights(folder)


def main() -> None:
    """Trains, then evaluates every epoch."""
    task = json.loads(sys.argv[1])
    study = reopen(Path(task["workspace"]))
    values = study.memory.record(task["trial"]).values
    solo = Solo(study, Planner(study.spec, study.dataset, study.seed).plan(values))
    folder = Path(task["folder"])
    solo.train(task["epochs"], folder)
    for epoch in range(task["epochs"]):
        solo.evaluate(folder / f"epoch-{epoch + 1}")


if __name__ == "__main__":
    main()
