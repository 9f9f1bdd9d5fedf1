"""Decides which trial to train next, which to stop, and which checkpoint wins; knows no torch."""
