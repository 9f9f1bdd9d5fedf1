"""What a person reads: the page, plots, diagnosis, explanations."""
