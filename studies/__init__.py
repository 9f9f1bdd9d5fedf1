"""Puts search, trainer and evaluation together: study files, the runner, reports and the command line."""
