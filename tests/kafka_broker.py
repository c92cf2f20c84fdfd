"""A real Kafka broker for tests: one node in KRaft mode, from artifacts of a Maven repository that are fetched once.

MAVEN_REPOSITORY_URL names the repository; without it the mirror of `central` in ~/.m2/settings.xml, else Maven Central. The
artifacts stay in $MONOLITH_TEST_CACHE (~/.cache/monolith-cli), are pinned in kafka_jars.txt and checked by their SHA-256.
Needs `java` and `keytool`, 17 or newer.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ports import free_ports

JARS = Path(__file__).with_name("kafka_jars.txt")
CENTRAL = "https://repo1.maven.org/maven2"
USER, PASSWORD = "tester", "secret=with=equals"
STORE_PASSWORD = "changeit"


class NoBroker(Exception):
    """Why there can be no broker here."""


def cache() -> Path:
    return Path(os.environ.get("MONOLITH_TEST_CACHE", Path.home() / ".cache" / "monolith-cli")) / "kafka"


def repository() -> str:
    if url := os.environ.get("MAVEN_REPOSITORY_URL"):
        return url.rstrip("/")
    try:
        settings = (Path.home() / ".m2" / "settings.xml").read_text(encoding="utf-8")
    except OSError:
        return CENTRAL
    for mirror in re.findall(r"<mirror>(.*?)</mirror>", settings, re.S):
        of, url = (re.search(rf"<{tag}>\s*(.*?)\s*</{tag}>", mirror, re.S) for tag in ("mirrorOf", "url"))
        if of and url and set(of[1].split(",")) & {"*", "central", "external:*"}:
            return url[1].rstrip("/")
    return CENTRAL


def _wanted() -> list[tuple[str, str]]:
    lines = [line.split() for line in JARS.read_text().splitlines() if line and not line.startswith("#")]
    return [(sha, path) for sha, path in lines]


def _fetch(sha: str, path: str) -> Path:
    place = cache() / Path(path).name
    if place.exists() and hashlib.sha256(place.read_bytes()).hexdigest() == sha:
        return place
    for pause in (1, 5, 20, None):
        try:
            with urllib.request.urlopen(f"{repository()}/{path}", timeout=60) as answer:
                data = answer.read()
            break
        except (OSError, http.client.HTTPException) as e:
            if pause is None:
                raise NoBroker(f"cannot fetch {path} from {repository()}: {e}") from None
            time.sleep(pause)
    found = hashlib.sha256(data).hexdigest()
    if found != sha:
        raise NoBroker(f"{repository()}/{path} has the SHA-256 {found}, {sha} is expected")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as f:
        f.write(data)
    os.replace(f.name, place)
    return place


def class_path() -> str:
    """The artifacts of the broker, fetched if need be. Raises NoBroker."""
    if not shutil.which("java"):
        raise NoBroker("no `java` here (Debian: default-jre-headless)")
    with ThreadPoolExecutor(8) as pool:
        return ":".join(map(str, pool.map(lambda w: _fetch(*w), _wanted())))


class Broker:
    """A broker with its data in `folder`. `address` takes anybody; `secure_address` wants TLS and SASL PLAIN."""

    def __init__(self, folder: Path):
        self.folder, self._jars, self._process = Path(folder), class_path(), None
        plain, controller, secure = free_ports(3)
        self.address, self.secure_address = f"127.0.0.1:{plain}", f"127.0.0.1:{secure}"
        self.certificate = self.folder / "broker.pem"
        self._make_certificate()
        self._config = self.folder / "server.properties"
        self._config.write_text(f"""\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{secure}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secure}
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
log.dirs={self.folder / "data"}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.message.timestamp.before.max.ms=9223372036854775807
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";
ssl.keystore.location={self.folder / "broker.p12"}
ssl.keystore.password={STORE_PASSWORD}
ssl.key.password={STORE_PASSWORD}
ssl.keystore.type=PKCS12
""")
        self._java("kafka.tools.StorageTool", "format", "--standalone", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(self._config))

    def _make_certificate(self) -> None:
        store = ["-keystore", str(self.folder / "broker.p12"), "-storepass", STORE_PASSWORD, "-alias", "broker"]
        for args in (["-genkeypair", *store, "-keyalg", "RSA", "-dname", "CN=localhost", "-validity", "3650", "-storetype", "PKCS12",
                      "-ext", "SAN=dns:localhost,ip:127.0.0.1", "-keypass", STORE_PASSWORD],
                     ["-exportcert", *store, "-rfc", "-file", str(self.certificate)]):
            subprocess.run(["keytool", *args], check=True, capture_output=True)

    def _command(self, *args: str) -> list[str]:
        return ["java", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp", self._jars, *args]

    def _java(self, *args: str) -> None:
        done = subprocess.run(self._command(*args), capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise NoBroker(f"{args[0]}: {done.stderr or done.stdout}")

    def start(self) -> None:
        """Starts it and waits until it answers."""
        log = open(self.folder / "broker.log", "ab")  # noqa: SIM115 - the child's
        with log:
            self._process = subprocess.Popen(self._command("kafka.Kafka", str(self._config)), stdout=log, stderr=log)
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        client, limit = AdminClient({"bootstrap.servers": self.address, "log_level": 0}), time.monotonic() + 180
        while True:
            try:
                client.list_topics(timeout=1)
                return
            except KafkaException:
                if self._process.poll() is not None or time.monotonic() > limit:
                    raise NoBroker("the broker does not start:\n" + (self.folder / "broker.log").read_text()[-3000:]) from None

    def kill(self, number: int = signal.SIGKILL) -> None:
        self._process.send_signal(number)
        self._process.wait()

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self.kill()

    def create_topic(self, name: str, partitions: int = 1, **config: str) -> str:
        from confluent_kafka.admin import AdminClient, NewTopic

        client = AdminClient({"bootstrap.servers": self.address})
        client.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(120)
        while name not in client.list_topics(timeout=60).topics:
            time.sleep(0.05)
        return name
