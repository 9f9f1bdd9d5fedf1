"""Judges LoRAs: validation loss against the base model, renders, CLIP similarity, with standard errors."""
