"""One choice of a oneof, as a message."""

from __future__ import annotations

from typing import Any, ClassVar


class OneOf:
    """An object that is one choice of the oneof `type` of a message."""

    _message: ClassVar[str]  # the message that has the oneof
    _choice: ClassVar[str]  # the field of this class
    _renamed: ClassVar[dict[str, str]] = {}  # attribute -> field, where they differ
    _hidden: ClassVar[tuple[str, ...]] = ()  # attributes that are no field

    def as_proto(self) -> Any:
        """The message, e.g. OptimizerConfig, with this choice made."""
        from monolith_protos import embedding_hash_table_pb2

        proto = getattr(embedding_hash_table_pb2, self._message)()
        choice = getattr(proto, self._choice)
        choice.SetInParent()
        for name, value in vars(self).items():
            if value is not None and name not in self._hidden:
                setattr(choice, self._renamed.get(name, name), value)
        return proto
