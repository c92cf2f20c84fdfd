"""Names that several parts of the agent share."""

HOST_SHARD_ENV = "MONOLITH_HOST_SHARD_N"
PLATFORM_CONFIG_FILE = "platform_config_file.cfg"
