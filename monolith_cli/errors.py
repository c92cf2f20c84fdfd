"""Errors a user can act on. Each class is one exit code; commands print the message alone, never a trace."""


class Error(Exception):
    """Base of all errors with a message for people. `exit_code` is what the command ends with."""

    exit_code = 70


class UsageError(Error):
    exit_code = 2


class BadDataError(Error):
    exit_code = 65


class NoInputError(Error):
    exit_code = 66


class UnavailableError(Error):
    exit_code = 69


class CannotCreateError(Error):
    exit_code = 73


class IoError(Error):
    exit_code = 74


class TryAgainError(Error):
    exit_code = 75


class ConfigError(Error):
    exit_code = 78


_BY_CODE = {
    c.exit_code: c
    for c in (UsageError, BadDataError, NoInputError, UnavailableError, CannotCreateError, IoError, TryAgainError, ConfigError)
}


def from_code(code: int, message: str) -> Error:
    """The error of one exit code; the native core raises its own through this."""
    return _BY_CODE.get(code, Error)(message)
