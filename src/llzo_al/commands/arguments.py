"""Arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llzo_al.errors import UserError

CampaignDir = Annotated[
    Path,
    typer.Argument(
        help="Campaign directory, or the campaign file that names it.", metavar="DIR", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def campaign_directory(path: Path) -> Path:
    """Campaign directory of an argument that may be the campaign file.

    Raises
    ------
    UserError
        If there is no campaign of this version.
    """
    from llzo_al.campaign.directory import CampaignDirectory

    if path.is_file():
        from llzo_al.config.load import load_campaign

        root = load_campaign(path).campaign_dir
        if not root.exists():
            raise UserError(f"{root}: the campaign has not been run yet; `llzo-al run {path}` starts it")
    elif path.exists():
        root = path
    else:
        raise UserError(f"{path}: no such campaign directory; `llzo-al run FILE` makes one")
    CampaignDirectory(root.resolve()).check()
    return root
