"""From scored checkpoints to the one that is handed over."""
