"""What can be wrong with a node, as errors with a message for people."""

from __future__ import annotations

from monolith_cli import errors


class NoNode(errors.NoInputError):
    """There is no such node."""


class NodeExists(errors.CannotCreateError):
    """There is such a node already."""


class NotEmpty(errors.CannotCreateError):
    """The node has children."""


class NotAllowed(errors.CannotCreateError):
    """The credentials of this session do not allow it."""


class BadVersion(errors.TryAgainError):
    """Somebody else changed the node in between."""


def translate(error: Exception, verb: str, path: str) -> errors.Error:
    """The error for what a ZooKeeper server answered to `verb` of `path`."""
    from kazoo import exceptions as k

    if isinstance(error, k.NoNodeError):
        return NoNode(f"{path}: no such node")
    if isinstance(error, k.NodeExistsError):
        return NodeExists(f"{path}: there is such a node already")
    if isinstance(error, k.NotEmptyError):
        return NotEmpty(f"{path}: the node has children")
    if isinstance(error, (k.NoAuthError, k.InvalidACLError)):
        return NotAllowed(
            f"cannot {verb} {path}: these credentials do not allow it; see --zk-auth-file, --zk-sasl-file"
        )
    if isinstance(error, (k.AuthFailedError, k.SASLException, k.SessionClosedRequireSaslError)):
        return NotAllowed("ZooKeeper refused the credentials; see --zk-auth-file, --zk-sasl-file")
    if isinstance(error, k.BadVersionError):
        return BadVersion(f"cannot {verb} {path}: somebody else changed it meanwhile")
    if isinstance(error, k.NoChildrenForEphemeralsError):
        return errors.CannotCreateError(f"cannot {verb} {path}: the node above is ephemeral and can have no children")
    if isinstance(error, k.BadArgumentsError):
        return errors.UsageError(f"cannot {verb} {path}: ZooKeeper does not take it as a path, or these data")
    if isinstance(error, k.ZookeeperError):
        return errors.UnavailableError(f"cannot {verb} {path}: {type(error).__name__} {error}".rstrip())
    return errors.UnavailableError(f"cannot {verb} {path}: {error}")
