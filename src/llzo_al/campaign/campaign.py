"""A campaign that can be worked on: its settings, its directory, its labeller and its label store."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.campaign.input_files import InputFile, keep, kept, look
from llzo_al.campaign.log import say
from llzo_al.campaign.resolved import read_resolved, write_resolved
from llzo_al.config.campaign import CampaignConfig
from llzo_al.dataset.store import LabelStore
from llzo_al.errors import UserError
from llzo_al.files import MANIFEST, fingerprint, read_json, write_json
from llzo_al.labelling.base import Labeller, make_labeller

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Campaign:
    """Settings and places of one campaign; the functions of this package work on it.

    Attributes
    ----------
    directory
        The campaign directory.
    config
        The campaign file, validated, with its defaults.
    base
        Directory that relative paths of the campaign file refer to.
    in_part
        The settings were written by another version, of which this one does not take all.
    """

    directory: CampaignDirectory
    config: CampaignConfig
    base: Path
    in_part: bool = False

    @classmethod
    def create(cls, *, root: Path, config: CampaignConfig, campaign_file: Path) -> Campaign:
        """Make or update the campaign directory `root` for a campaign file.

        Raises
        ------
        UserError
            If `root` cannot be written or is something else; see `CampaignDirectory.create`.
        """
        directory = CampaignDirectory(root.resolve())
        directory.create(campaign_file.resolve())
        about = read_json(directory.version_file)
        about["campaign_file"] = str(campaign_file.resolve())
        write_json(directory.version_file, about)
        write_resolved(directory.config, config)
        base = campaign_file.resolve().parent
        keep(directory.input_files, look(config, base, kept(directory.input_files)))
        return cls(directory=directory, config=config, base=base)

    @classmethod
    def open(cls, root: Path) -> Campaign:
        """Open an existing campaign directory with the settings of its last run.

        Settings of another version that this one does not take are told in the log, and left out.

        Raises
        ------
        UserError
            If `root` is not a campaign directory of this version.
        StageError
            If the settings of its last run cannot be read.
        """
        directory = CampaignDirectory(root.resolve())
        directory.check()
        config, foreign = read_resolved(directory.config)
        if foreign:
            _log.warning(
                "%s: the last run was made by another version, and this one goes without: %s",
                directory.config,
                "; ".join(foreign),
            )
        base = Path(read_json(directory.version_file)["campaign_file"]).parent
        return cls(directory=directory, config=config, base=base, in_part=bool(foreign))

    @cached_property
    def labeller(self) -> Labeller:
        """The labeller of the campaign file."""
        return make_labeller(self.config.labelling, self.config.elements)

    @cached_property
    def physics(self) -> dict[str, Any]:
        """What of the labeller's settings changes a label.

        Where it cannot be told on this machine (VASP's POTCARs are elsewhere), it is that of the last run
        with the same settings; where the settings are those of another version, it is that of its run.
        """
        if self.in_part and self.directory.level_of_theory.exists():
            of_last_run: dict[str, Any] = read_json(self.directory.level_of_theory)["physics"]
            return of_last_run
        try:
            return self.labeller.physics()
        except UserError:
            kept = self._kept_level_of_theory()
            if kept is None:
                raise
            return kept

    def keep_level_of_theory(self) -> None:
        """Write down what changes a label, for machines that cannot tell."""
        write_json(
            self.directory.level_of_theory,
            {"settings": self._labelling_settings(), "physics": self.labeller.physics()},
        )

    def _kept_level_of_theory(self) -> dict[str, Any] | None:
        path = self.directory.level_of_theory
        last = read_json(path) if path.exists() else {}
        if last.get("settings") != self._labelling_settings():
            return None
        physics: dict[str, Any] = last["physics"]
        return physics

    def _labelling_settings(self) -> dict[str, Any]:
        return {"elements": list(self.config.elements), "labelling": self.config.labelling.settings()}

    @cached_property
    def input_files(self) -> list[InputFile]:
        """What the files that the campaign file names held at the start of the last run."""
        return kept(self.directory.input_files)

    @cached_property
    def store(self) -> LabelStore:
        """The label store.

        Raises
        ------
        StageError
            If it is gone, though frames were entered into it.
        """
        entered = (self.directory.initial / "structures" / MANIFEST).exists()
        return LabelStore(self.directory.labels, create=not entered)

    @property
    def level_of_theory(self) -> dict[str, Any]:
        """What every finished iteration must share with the campaign file to stay valid."""
        return {"elements": list(self.config.elements), "physics": fingerprint(self.physics)}

    def say(self, message: str, *details: str) -> None:
        """Add a line, and an indented one for each detail, to the log, which `llzo-al run` shows."""
        say(self.directory, message, *details)

    def progress_file(self, name: str) -> Path:
        """Where the progress of the task `name` is told."""
        return self.directory.progress / f"{name.replace('/', '-')}.json"
