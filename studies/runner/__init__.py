"""One run of a study: the loop, what a person sees of it, signals."""
