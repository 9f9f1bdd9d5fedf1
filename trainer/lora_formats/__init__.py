"""LoRA files in the three layouts that people use: kohya, diffusers, PEFT."""
