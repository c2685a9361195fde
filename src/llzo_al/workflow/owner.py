"""Whose a workflow is: on a database that campaigns share, each must find its own and nothing else."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.files import read_json, write_json

_KEY = "id"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """What marks the workflows, fireworks and launches of one campaign.

    Attributes
    ----------
    directory
        The campaign directory. It tells a campaign from a copy of its directory.
    identity
        A random name that is kept in the campaign directory. It tells a campaign from one on another machine
        whose directory has the same path.
    """

    directory: str
    identity: str

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata of its workflows."""
        return {"campaign_dir": self.directory, "campaign_id": self.identity}

    @property
    def spec(self) -> dict[str, str]:
        """Part of the spec of its fireworks."""
        return {"_llzo_al_campaign": self.directory, "_llzo_al_id": self.identity}

    @property
    def env(self) -> dict[str, str]:
        """``env`` of its workers, which their launches keep."""
        return self.metadata

    @property
    def workflows(self) -> dict[str, str]:
        """Query for its workflows."""
        return {f"metadata.{key}": value for key, value in self.metadata.items()}

    @property
    def fireworks(self) -> dict[str, str]:
        """Query for its fireworks."""
        return {f"spec.{key}": value for key, value in self.spec.items()}

    @property
    def launches(self) -> dict[str, str]:
        """Query for the launches of its workers."""
        return {f"fworker.env.{key}": value for key, value in self.env.items()}


def owner_of(directory: CampaignDirectory) -> Owner:
    """The marks of a campaign; a directory that has no random name yet gets one.

    Parameters
    ----------
    directory
        The campaign directory.

    Raises
    ------
    StageError
        If ``campaign.json`` is missing or damaged.
    """
    about: dict[str, Any] = read_json(directory.version_file)
    if _KEY not in about:
        about[_KEY] = uuid.uuid4().hex[:12]
        write_json(directory.version_file, about)
    return Owner(directory=str(directory.root), identity=str(about[_KEY]))
