"""The bank of low-rank factors, and what a slot may be."""
