"""How optional parts are installed, as messages say it."""

from __future__ import annotations


def install_command(extra: str) -> str:
    """Command that installs llzo-al with an extra of its ``pyproject.toml`` ("cpu", "torch")."""
    return f'`python -m pip install -e ".[{extra}]"` in the folder of llzo-al'
