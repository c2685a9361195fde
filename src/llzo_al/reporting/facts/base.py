"""What all facts have in common."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

ALL = "all"
"""Name of the entry that pools the frames of all kinds of structure."""
ALL_MD = "all MD"
"""Name of the entry that pools the frames from molecular dynamics, which thresholds are compared with."""


def _measured(value: Any) -> Any:
    """A number that is not finite was not measured."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Measured = Annotated[float | None, BeforeValidator(_measured)]
"""A measured number; None (null) where there is none, also for NaN and infinities."""


class Fact(BaseModel):
    """A part of the facts: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
