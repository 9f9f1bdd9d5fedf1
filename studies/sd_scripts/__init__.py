"""Configurations of kohya-ss/sd-scripts: read into studies, written from plans."""
