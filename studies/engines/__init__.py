"""Where trials are trained: in this process, or by workers of a Ray cluster."""
