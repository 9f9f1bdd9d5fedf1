"""Makes LoRAs: base model, data, adapters and the pack that trains many of them at once."""
