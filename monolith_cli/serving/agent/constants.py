"""Names that several parts of the agent share."""

HOST_SHARD_ENV = "MONOLITH_HOST_SHARD_N"
