"""A campaign that can be worked on: its settings, its directory, its labeller and its label store."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.config.campaign import CampaignConfig
from llzo_al.dataset.store import LabelStore
from llzo_al.errors import StageError, UserError
from llzo_al.files import fingerprint, read_json, write_atomic, write_json
from llzo_al.labelling.base import Labeller, make_labeller


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
    """

    directory: CampaignDirectory
    config: CampaignConfig
    base: Path

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
        stream = io.StringIO()
        yaml = YAML()
        yaml.default_flow_style = False
        yaml.dump(config.settings(), stream)
        write_atomic(
            directory.config,
            "# The campaign as resolved at its last run, defaults included.\n" + stream.getvalue(),
        )
        return cls(directory=directory, config=config, base=campaign_file.resolve().parent)

    @classmethod
    def open(cls, root: Path) -> Campaign:
        """Open an existing campaign directory with the settings of its last run.

        Raises
        ------
        UserError
            If `root` is not a campaign directory of this version.
        """
        directory = CampaignDirectory(root.resolve())
        directory.check()
        try:
            data = YAML(typ="safe").load(directory.config.read_text(encoding="utf-8"))
            config = CampaignConfig.model_validate(data)
        except (OSError, ValueError, YAMLError) as error:
            raise StageError(
                f"{directory.config}: cannot be read back ({error}); run `llzo-al run` with the campaign "
                "file again to write it anew"
            ) from error
        base = Path(read_json(directory.version_file)["campaign_file"]).parent
        return cls(directory=directory, config=config, base=base)

    @cached_property
    def labeller(self) -> Labeller:
        """The labeller of the campaign file."""
        return make_labeller(self.config.labelling, self.config.elements)

    @cached_property
    def physics(self) -> dict[str, Any]:
        """What of the labeller's settings changes a label.

        Where it cannot be told on this machine (VASP's POTCARs are elsewhere), it is that of the last run
        with the same settings.
        """
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
        kept = read_json(path) if path.exists() else {}
        if kept.get("settings") != self._labelling_settings():
            return None
        physics: dict[str, Any] = kept["physics"]
        return physics

    def _labelling_settings(self) -> dict[str, Any]:
        return {"elements": list(self.config.elements), "labelling": self.config.labelling.settings()}

    @cached_property
    def store(self) -> LabelStore:
        """The label store."""
        return LabelStore(self.directory.labels)

    @property
    def level_of_theory(self) -> dict[str, Any]:
        """What every finished iteration must share with the campaign file to stay valid."""
        return {"elements": list(self.config.elements), "physics": fingerprint(self.physics)}

    def say(self, message: str) -> None:
        """Add a line to the campaign's log, which `llzo-al run` shows as it grows."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with (self.directory.logs / "campaign.log").open("a", encoding="utf-8") as handle:
            handle.write(f"{stamp}  {message}\n")

    def progress_file(self, name: str) -> Path:
        """Where the progress of the task `name` is told."""
        return self.directory.progress / f"{name.replace('/', '-')}.json"
