"""Campaign files to start from."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

from llzo_al.config import suggestions
from llzo_al.config.reference import json_schema
from llzo_al.errors import UserError
from llzo_al.files import write_atomic

CAMPAIGN_FILE = "campaign.yaml"
SCHEMA_FILE = "campaign.schema.json"
_SCHEMA_LINE = re.compile(r"^(# yaml-language-server: \$schema=).*$", re.MULTILINE)


def template_names() -> list[str]:
    """Names of the templates, the simplest first."""
    names = [
        entry.name.removesuffix(".yaml")
        for entry in files("llzo_al.config").joinpath("templates").iterdir()
        if entry.name.endswith(".yaml")
    ]
    return sorted(names, key=lambda name: (name != "quickstart", name))


def template_text(name: str) -> str:
    """Text of a template.

    Raises
    ------
    UserError
        If there is no template of that name.
    """
    names = template_names()
    if name not in names:
        hint = suggestions.for_option(name, names)
        raise UserError(f"template {name!r}: allowed: {', '.join(names)}" + (f"; {hint}" if hint else ""))
    return files("llzo_al.config").joinpath("templates", f"{name}.yaml").read_text(encoding="utf-8")


def write_template(name: str, directory: Path) -> Path:
    """Write a template as ``campaign.yaml`` into `directory`, with the JSON schema for editors beside it.

    Parameters
    ----------
    name
        Name of the template.
    directory
        Made if it does not exist.

    Returns
    -------
    Path
        The campaign file.

    Raises
    ------
    UserError
        If there is no such template, a campaign file is there already, or the directory cannot be written.
    """
    text = _SCHEMA_LINE.sub(rf"\g<1>{SCHEMA_FILE}", template_text(name))
    path = directory / CAMPAIGN_FILE
    if path.exists() or path.is_symlink():
        raise UserError(
            f"{path}: is there already and is not overwritten; choose another directory, or remove it"
        )
    try:
        write_atomic(directory / SCHEMA_FILE, json.dumps(json_schema(), indent=2) + "\n")
        write_atomic(path, text)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{directory}: is, or lies below, a file; choose another directory") from error
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); make the directory writable, or choose another"
        ) from error
    return path
