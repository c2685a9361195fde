"""Where commands write: results on standard output, errors on standard error."""

from __future__ import annotations

import os
import sys

from rich.console import Console

_WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120
CONSOLE = Console(width=_WIDTH, markup=False)
ERRORS = Console(stderr=True, markup=False)
