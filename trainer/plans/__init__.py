"""The sections of a training plan, a file each."""
