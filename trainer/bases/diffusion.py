"""Facts of the families whose denoiser is diffusers' UNet2DConditionModel."""

from __future__ import annotations

from trainer.bases.family import Denoiser, Rendering

UNET = Denoiser(part="unet", architecture="UNet2DConditionModel", channels_last=True)
SOLVERS = Rendering(
    samplers={
        "ddim": ("DDIMScheduler", {}),
        "ddpm": ("DDPMScheduler", {}),
        "deis": ("DEISMultistepScheduler", {}),
        "dpm2": ("KDPM2DiscreteScheduler", {}),
        "dpm2_a": ("KDPM2AncestralDiscreteScheduler", {}),
        "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
        "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
        "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        "dpmpp_2m_sde_karras": (
            "DPMSolverMultistepScheduler",
            {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True},
        ),
        "dpmpp_2s": ("DPMSolverSinglestepScheduler", {"lower_order_final": True}),
        "euler": ("EulerDiscreteScheduler", {}),
        "euler_a": ("EulerAncestralDiscreteScheduler", {}),
        "heun": ("HeunDiscreteScheduler", {}),
        "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
        "unipc": ("UniPCMultistepScheduler", {}),
    },
    sampler="dpmpp_2m",
)
"""Samplers by the names that WebUIs give them; DPM-Solver++ of second order (Lu et al. 2022) where none is named."""
