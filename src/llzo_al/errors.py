"""Errors that users see, and the exit codes that they end in."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line."""

    CONVERGED = 0
    FAILURE = 1
    USER_ERROR = 2
    NOT_CONVERGED = 3


class LlzoAlError(Exception):
    """Anything that went wrong and is told to the user in one message, without a traceback.

    The message says which file, key or frame is concerned, what was expected and what to do next.
    """

    exit_code = ExitCode.FAILURE


class UserError(LlzoAlError):
    """The user's mistake: the campaign file, an option, a missing file or backend."""

    exit_code = ExitCode.USER_ERROR


class StageError(LlzoAlError):
    """A stage could not produce its result; the message carries the cause."""


class EngineError(StageError):
    """An engine's child process (DeePMD-kit, LAMMPS, a calculator) ended without a result."""


class TimeIsUp(EngineError):
    """Work was stopped before the time limit of its job, and goes on from there in the next one."""


class UpstreamError(StageError):
    """A stage cannot start because one before it failed; the cause is told there."""
