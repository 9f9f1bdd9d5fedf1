"""The study file: sections, fields, errors, plans."""
