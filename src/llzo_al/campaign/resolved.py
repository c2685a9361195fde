"""The campaign file as resolved at the last run: written, and read back by this and other versions."""

from __future__ import annotations

import io
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from llzo_al.config.campaign import CampaignConfig
from llzo_al.config.document import DocumentError, parse_document
from llzo_al.config.validation import check_document
from llzo_al.errors import StageError
from llzo_al.files import write_atomic

_HEAD = "# The campaign as resolved at its last run, defaults included.\n"


def write_resolved(path: Path, config: CampaignConfig) -> None:
    """Write a campaign file with all its defaults."""
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(config.settings(), stream)
    write_atomic(path, _HEAD + stream.getvalue())


def read_resolved(path: Path) -> tuple[CampaignConfig, list[str]]:
    """Read what `write_resolved` wrote, in this version or another.

    Returns
    -------
    tuple
        The settings, and what of the file this version does not take: its own defaults stand for it.

    Raises
    ------
    StageError
        If too little of it can be read.
    """
    if not path.exists():
        raise StageError(f"{path}: is missing; `llzo-al run` with the campaign file writes it anew")
    try:
        text = path.read_text(encoding="utf-8")
        try:
            return CampaignConfig.model_validate(YAML(typ="safe").load(text)), []
        except ValidationError:
            return _in_part(text)
    except (OSError, ValueError, YAMLError, DocumentError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StageError(
            f"{path}: cannot be read back ({first}); remove it, and `llzo-al run` with the campaign file "
            "writes it anew"
        ) from error


def _in_part(text: str) -> tuple[CampaignConfig, list[str]]:
    document, problems = parse_document(text)
    values, more = check_document(document, CampaignConfig)
    return CampaignConfig.model_validate(values), [str(problem) for problem in (*problems, *more)]
