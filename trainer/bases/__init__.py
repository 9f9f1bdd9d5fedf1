"""Base models as people have them: where they lie, how their weights and text are read."""
