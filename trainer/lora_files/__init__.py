"""LoRA files: layouts, metadata, conversion, merging."""
