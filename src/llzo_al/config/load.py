"""Reading a campaign file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llzo_al.config.campaign import CampaignConfig
from llzo_al.config.document import DocumentError, Problem, SectionValue, line_at, parse_document
from llzo_al.config.places import (
    campaign_directory,
    directory_findings,
    label_store_findings,
    structure_findings,
)
from llzo_al.config.validation import check_document
from llzo_al.errors import UserError

MAX_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class LoadedCampaign:
    """A campaign file that was read and checked.

    Attributes
    ----------
    config
        The settings.
    path
        The campaign file, absolute.
    text
        The file's text.
    base
        Directory that the file's relative paths refer to, absolute.
    campaign_dir
        The campaign directory, absolute; it need not exist yet.
    """

    config: CampaignConfig
    path: Path
    text: str
    base: Path
    campaign_dir: Path


def load_campaign(path: Path) -> LoadedCampaign:
    """Read and check a campaign file; nothing is run and nothing is written.

    Raises
    ------
    UserError
        If the file cannot be read or anything in it is wrong: one message with every problem, each with its
        line and key.
    """
    text = _read(path)
    base = path.resolve().parent
    try:
        document, problems = parse_document(text)
    except DocumentError as error:
        raise UserError(_message(path, [error.problem])) from error
    values, more = check_document(document, CampaignConfig)
    problems += more
    problems += _on_this_machine(document, values, base)
    if problems:
        raise UserError(_message(path, problems))
    try:
        config = CampaignConfig.model_validate(document.plain)
    except ValidationError as error:
        raise UserError(f"{path}: {error}") from error
    return LoadedCampaign(
        config=config,
        path=path.resolve(),
        text=text,
        base=base,
        campaign_dir=campaign_directory(config.name, config.directory, base),
    )


def _on_this_machine(document: SectionValue, values: dict[str, Any], base: Path) -> list[Problem]:
    findings = [
        *structure_findings(values, base),
        *directory_findings(values, base),
        *label_store_findings(values, base),
    ]
    return [Problem(line_at(document, path), path, message) for path, message in findings]


def _read(path: Path) -> str:
    try:
        if path.is_dir():
            raise UserError(_directory_given(path))
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: is too large for a campaign file (over {MAX_BYTES // 1000} kB)")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(_missing_file(path)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: is not UTF-8 text; save the file in that encoding") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _directory_given(path: Path) -> str:
    inside = path / "campaign.yaml"
    hint = (
        f"; did you mean {inside}?" if inside.is_file() else "; `llzo-al init` writes a campaign file into it"
    )
    return f"{path}: is a directory, expected a campaign file{hint}"


def _missing_file(path: Path) -> str:
    parent = path.parent
    found = sorted(entry.name for entry in parent.glob("*.y*ml")) if parent.is_dir() else []
    if not parent.is_dir():
        hint = f"the directory {parent} does not exist"
    elif found:
        hint = f"there is {', '.join(found[:5])} in {parent}"
    else:
        hint = f"`llzo-al init {parent}` writes a campaign file to start from"
    return f"{path}: no such campaign file; {hint}"


def _message(path: Path, problems: list[Problem]) -> str:
    lines = [f"{path}:{problem.line}: {problem}" for problem in sorted(set(problems), key=_order)]
    if len(lines) == 1:
        return lines[0]
    return f"{path}: {len(lines)} problems\n" + "\n".join(f"  {line}" for line in lines)


def _order(problem: Problem) -> tuple[int, str]:
    return problem.line, str(problem)
