"""The key of the Materials Project's API: found, and kept out of every message."""

from __future__ import annotations

import os
import re

from llzo_al.errors import UserError

KEY_URL = "https://next-gen.materialsproject.org/api"
"""Where a key is got."""

WAYS_OUT = (
    f"either get a key at {KEY_URL} and set it as the environment variable MP_API_KEY (or with `pmg config "
    "--add "
    "PMG_MAPI_KEY KEY`), on a machine with a network: the answer is kept on disk; or put structure files "
    "(CIF, "
    "POSCAR, extended XYZ) into a folder of your own and name it with `folder:`"
)
"""What to do without a key or a network."""

_PLACEHOLDER = "<key>"


def find_key() -> str | None:
    """The user's key, from the environment or pymatgen's settings; None if there is none.

    Raises
    ------
    UserError
        If what is there cannot be a key; it is not repeated in the message.
    """
    place, key = "the environment variable MP_API_KEY", os.environ.get("MP_API_KEY")
    if not key:
        from pymatgen.core import SETTINGS

        place, key = "PMG_MAPI_KEY in pymatgen's settings", SETTINGS.get("PMG_MAPI_KEY")
    if not key:
        return None
    key = str(key).strip()
    if not re.fullmatch(r"[A-Za-z0-9]{32}", key):
        raise UserError(
            f"materials_project: {place} holds no key of the Materials Project's API, which has 32 letters "
            "and "
            f"digits (this has {len(key)} characters); copy it anew from {KEY_URL}"
        )
    return key


def without_key(text: object, key: str | None) -> str:
    """A message with the key blotted out."""
    return str(text).replace(key, _PLACEHOLDER) if key else str(text)
