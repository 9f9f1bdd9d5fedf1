"""Keeps libraries' own remarks from users."""

from __future__ import annotations

import logging
import warnings


def quiet() -> None:
    """Silences warnings, advice and progress bars of the libraries that train and render."""
    warnings.filterwarnings("ignore")
    for name in ("bitsandbytes", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    from diffusers.utils import logging as diffusers_logging

    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
