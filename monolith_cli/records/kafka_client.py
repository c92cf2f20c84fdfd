"""What reading from and writing to Kafka share: properties, errors, the search for a server."""

from __future__ import annotations

import time

from monolith_cli.errors import ConfigError, Error, NoInputError, UnavailableError, UsageError
from monolith_cli.records.kafka_url import SECRET

_OURS = {
    "enable.auto.commit": "offsets are committed when the records were taken",
    "enable.auto.offset.store": "offsets are committed when the records were taken",
    "enable.partition.eof": "needed to see the end",
    "delivery.report.only.error": "needed to count what arrived",
    "plugin.library.paths": "no code is loaded by a configuration",
}


def load_config(path: str) -> dict[str, str]:
    """Properties of a file: name=value a line, empty lines and lines with # left out; a value may hold `=`.

    Raises NoInputError, ConfigError naming file and line.
    """
    values: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
    except OSError as e:
        raise NoInputError(f"{path}: {e.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is no text in UTF-8") from None
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"{path}: line {number}: write name=value")
        if name.strip() in _OURS:
            raise ConfigError(f"{path}: line {number}: {name.strip()} is not to be set: {_OURS[name.strip()]}")
        values[name.strip()] = value.strip()
    return values


class Client:
    """A consumer or producer of the library and what is known of its connection.

    make: confluent_kafka.Consumer or Producer. properties: ours, over those of the user. user: name=value given by hand, of
    `where` (for messages). Raises ConfigError for a property of the file, UsageError for one given by hand, that is wrong.
    """

    def __init__(self, make, defaults: dict, config: str | None, user: dict[str, str], fixed: dict, *, where: str, wait: float,
                 log=None):
        from confluent_kafka import KafkaException

        self._log, self._where, self.wait = log, where, wait
        self._trouble: str | None = None
        self.refused: str | None = None
        self._down_since: float | None = None
        self._looked = 0.0
        of_file = load_config(config) if config else {}
        for name in user:
            if name in _OURS:
                raise UsageError(f"{name} is not to be set: {_OURS[name]}")
            if SECRET.search(name):
                raise UsageError(f"{name}: secrets do not belong into a command line: put them into a file and name it with ?config=FILE")
        fixed = {k: v for k, v in fixed.items() if not (v == "" and of_file.get(k))}
        self.properties = {**defaults, **of_file, **user, **fixed}
        if not self.properties.get("bootstrap.servers"):
            raise UsageError(f"{where}: no server: write HOST:PORT, or bootstrap.servers in the file of config=FILE")
        try:
            self.library = make({**self.properties, "error_cb": self._on_error, "logger": _silent_logger()})
        except (KafkaException, TypeError, ValueError) as e:
            reason = e.args[0].str() if isinstance(e, KafkaException) else str(e)
            if config and any(name in reason for name in of_file if name not in user):
                raise ConfigError(f"{config}: {reason}") from None
            raise (ConfigError(f"{config}: {reason}") if config and not user else UsageError(f"{where}: {reason}")) from None

    def _on_error(self, error) -> None:
        from confluent_kafka import KafkaError

        if error.code() == KafkaError._AUTHENTICATION:
            self.refused = error.str()
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down_since = self._down_since or time.monotonic()
        else:
            self._trouble = error.str()
        if self._log:
            self._log.info(f"{self._where}: {error.str()}")

    def alive(self) -> None:
        """A message came."""
        self._down_since = None

    def down(self) -> bool:
        return self._down_since is not None

    def unreachable(self) -> Error:
        if self.refused:
            return ConfigError(f"{self._where}: the server refuses the credentials: {self.refused}")
        return UnavailableError(f"{self._where}: no server can be reached within {self.wait:g} s"
                                + (f": {self._trouble}" if self._trouble else ""))

    def connect(self, stopped):
        """Metadata of the cluster. Tries for `wait` seconds; raises UnavailableError, ConfigError for wrong credentials.

        stopped: called between tries; raises to break off.
        """
        from confluent_kafka import KafkaException

        limit = time.monotonic() + self.wait
        while True:
            stopped()
            try:
                found = self.library.list_topics(timeout=max(0.1, min(1.0, limit - time.monotonic())))
                self._down_since = None
                return found
            except KafkaException:
                self.library.poll(0)
                if self.refused or time.monotonic() > limit:
                    raise self.unreachable() from None

    def topics(self, names, stopped) -> dict[str, list[int]]:
        """Partitions of each topic. Raises NoInputError for one that does not exist."""
        from confluent_kafka import KafkaError, KafkaException

        found = self.connect(stopped).topics
        for name in names:
            if name not in found:
                import difflib

                near = difflib.get_close_matches(name, [t for t in found if not t.startswith("__")], 1)
                raise NoInputError(f"{self._where}: no such topic: {name}" + (f"; there is {near[0]}" if near else ""))
            error = found[name].error
            if error is not None and error.code() != KafkaError.LEADER_NOT_AVAILABLE:
                raise as_error(KafkaException(error), self._where)
        return {name: sorted(found[name].partitions) for name in names}

    def check(self) -> None:
        """While nothing comes: whether a server is still there. Raises when all are lost for `wait` seconds."""
        from confluent_kafka import KafkaException

        if self.refused:
            raise self.unreachable()
        if self._down_since is None or time.monotonic() - self._looked < 1:
            return
        self._looked = time.monotonic()
        try:
            self.library.list_topics(timeout=0.5)
            self._down_since = None
        except KafkaException:
            if time.monotonic() - self._down_since > self.wait:
                raise self.unreachable() from None


def as_error(e, where: str) -> Error:
    """What an exception of the library means to a user."""
    from confluent_kafka import KafkaError

    error = e.args[0]
    code, text = error.code(), f"{where}: {error.str()}"
    if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION):
        return NoInputError(text)
    if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED,
                KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError._AUTHENTICATION):
        return ConfigError(text)
    return UnavailableError(text)


def _silent_logger():
    import logging

    logger = logging.getLogger("monolith_cli.kafka")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger
