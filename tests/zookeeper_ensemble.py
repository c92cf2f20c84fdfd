"""Real ZooKeeper servers for tests and the sandbox of the manuals: one or several nodes on loopback, from Debian's
package `zookeeper`.

Ticks are short (`tick_ms`), so that sessions may time out after two of them; every server can be killed, held still
(SIGSTOP), let go on and started again with its data. Sessions end by `expire`, as a server ends them.

As a program: `python tests/zookeeper_ensemble.py FOLDER` starts one server, prints its address, and ends when its
standard input does.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from certificates import make_certificates
from ports import free_ports

JARS = Path("/usr/share/java")
# What the manifest of zookeeper.jar leaves out: parts of netty that TLS needs, and something to log with.
MORE_JARS = ("netty-codec", "netty-resolver", "netty-transport-native-unix-common", "slf4j-simple")
STORE_PASSWORD = "changeit"
SASL_USER, SASL_PASSWORD = "tester", "sasl-secret"
SUPER_PASSWORD = "root-of-the-tree"
SUPER_DIGEST = "super:T3OvSCoj5F0mGoKninQOKUlJUOI="


class NoZooKeeper(Exception):
    """Why there can be no ZooKeeper here."""


def class_path() -> str:
    """Jars of Debian's packages. Raises NoZooKeeper."""
    if not shutil.which("java"):
        raise NoZooKeeper("no `java` here (Debian: default-jre-headless)")
    jars = [JARS / f"{name}.jar" for name in ("zookeeper", *MORE_JARS)]
    if missing := [str(j) for j in jars if not j.exists()]:
        raise NoZooKeeper(f"{', '.join(missing)} missing (Debian: zookeeper, libnetty-java, libslf4j-java)")
    return ":".join(map(str, jars))


def make_stores(folder: Path) -> None:
    """ca.pem, client.pem and client.key as PEM; server.p12 and trust.p12 for the servers, which are 127.0.0.1 and
    localhost."""
    make_certificates(folder)
    password = f"pass:{STORE_PASSWORD}"
    store = ["-in", "server.pem", "-inkey", "server.key", "-certfile", "ca.pem", "-name", "server", "-out", "server.p12"]
    openssl = ["openssl", "pkcs12", "-export", *store, "-passout", password]
    subprocess.run(openssl, check=True, capture_output=True, cwd=folder)
    subprocess.run(
        [
            "keytool",
            "-importcert",
            "-noprompt",
            "-alias",
            "ca",
            "-file",
            "ca.pem",
            "-keystore",
            "trust.p12",
            "-storetype",
            "PKCS12",
            "-storepass",
            STORE_PASSWORD,
        ],
        check=True,
        capture_output=True,
        cwd=folder,
    )


class Ensemble:
    """n servers with their data below `folder`, started by `start()`.

    servers: what clients are given, `127.0.0.1:port,…`; secure_servers: the same behind TLS (with tls=True).
    tls: "need" asks clients for a certificate (`certificates/client.pem`), "none" does not; None: no TLS.
    sasl: SASL DIGEST-MD5 for SASL_USER, and nothing for others; allow_4lw: four-letter words, "*" or a list.
    """

    def __init__(
        self,
        n: int,
        folder: Path,
        *,
        tick_ms: int = 200,
        sync_ticks: int = 15,
        tls: str | None = None,
        sasl: bool = False,
        allow_4lw: str = "*",
    ):
        self.folder, self._jars, self.n = Path(folder), class_path(), n
        self.folder.mkdir(parents=True, exist_ok=True)
        self._processes: list[subprocess.Popen | None] = [None] * n
        ports = free_ports(4 * n)
        self.ports, secure, quorum, election = (ports[i * n : (i + 1) * n] for i in range(4))
        self.addresses = [f"127.0.0.1:{p}" for p in self.ports]
        self.servers = ",".join(self.addresses)
        self.secure_servers = ",".join(f"127.0.0.1:{p}" for p in secure)
        self.certificates = self.folder / "certificates"
        if tls:
            self.certificates.mkdir(exist_ok=True)
            make_stores(self.certificates)
        for i in range(n):
            data = self.folder / f"{i}" / "data"
            data.mkdir(parents=True, exist_ok=True)
            (data / "myid").write_text(f"{i + 1}\n")
            lines = [
                f"tickTime={tick_ms}",
                "initLimit=50",
                f"syncLimit={sync_ticks}",
                f"dataDir={data}",
                f"clientPort={self.ports[i]}",
                "clientPortAddress=127.0.0.1",
                "admin.enableServer=false",
                f"4lw.commands.whitelist={allow_4lw}",
                "maxClientCnxns=0",
                f"minSessionTimeout={2 * tick_ms}",
                "maxSessionTimeout=60000",
                "standaloneEnabled=true",
            ]
            if n > 1:
                lines += [f"server.{k + 1}=127.0.0.1:{quorum[k]}:{election[k]}" for k in range(n)]
            if tls:
                lines += [
                    f"secureClientPort={secure[i]}",
                    "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
                    f"ssl.keyStore.location={self.certificates / 'server.p12'}",
                    f"ssl.keyStore.password={STORE_PASSWORD}",
                    f"ssl.trustStore.location={self.certificates / 'trust.p12'}",
                    f"ssl.trustStore.password={STORE_PASSWORD}",
                    f"ssl.clientAuth={tls}",
                ]
            if sasl:
                lines += [
                    "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
                    "sessionRequireClientSASLAuth=true",
                ]
                (self.folder / "jaas.conf").write_text(
                    "Server { org.apache.zookeeper.server.auth.DigestLoginModule required "
                    f'user_{SASL_USER}="{SASL_PASSWORD}"; }};\n'
                )
            (self.folder / f"{i}" / "zoo.cfg").write_text("\n".join(lines) + "\n")
        self._sasl = sasl

    def _command(self, i: int) -> list[str]:
        more = [f"-Djava.security.auth.login.config={self.folder / 'jaas.conf'}"] if self._sasl else []
        with_us = (
            ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        )  # a killed test run leaves no server behind
        return [
            *with_us,
            "java",
            "-Xms16m",
            "-Xmx96m",
            "-Xss256k",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Xshare:auto",
            "-Dzookeeper.forceSync=no",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
            "-Dzookeeper.jmx.log4j.disable=true",
            "-Djava.net.preferIPv4Stack=true",
            f"-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER_DIGEST}",
            *more,
            "-cp",
            self._jars,
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            str(self.folder / f"{i}" / "zoo.cfg"),
        ]

    def start(self) -> Ensemble:
        """Starts all servers and waits until every one of them serves."""
        for i in range(self.n):
            self._spawn(i)
        self.wait()
        return self

    def _spawn(self, i: int) -> None:
        with open(self.folder / f"{i}" / "log", "ab") as log:
            self._processes[i] = subprocess.Popen(self._command(i), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def log(self, i: int) -> str:
        return (self.folder / f"{i}" / "log").read_text(errors="replace")

    def wait(self, limit_s: float = 180) -> None:
        """Until each running server serves."""
        until = time.monotonic() + limit_s
        for i, process in enumerate(self._processes):
            while process is not None and self.mode(i) is None:
                if process.poll() is not None or time.monotonic() > until:
                    self.stop()
                    raise NoZooKeeper(f"server {i} does not start:\n{self.log(i)[-3000:]}")
                time.sleep(0.05)

    def command(self, i: int, word: str, timeout_s: float = 10.0) -> str:
        """The answer of server i to a four-letter word; OSError where it does not answer."""
        with socket.create_connection(("127.0.0.1", self.ports[i]), timeout_s) as s:
            s.sendall(word.encode())
            answer = b""
            while chunk := s.recv(65536):
                answer += chunk
        return answer.decode()

    def mode(self, i: int) -> str | None:
        """`leader`, `follower` or `standalone`; None while server i does not serve."""
        try:
            answer = self.command(i, "srvr")
        except OSError:
            return None
        return next((line.split()[1] for line in answer.splitlines() if line.startswith("Mode: ")), None)

    def leader(self, limit_s: float = 120) -> int:
        """Index of the server that leads (or is alone). Waits until there is one."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            for i, process in enumerate(self._processes):
                if process is not None and self.mode(i) in ("leader", "standalone"):
                    return i
            time.sleep(0.05)
        raise TimeoutError("no server leads")

    def followers(self) -> list[int]:
        leader = self.leader()
        return [i for i, process in enumerate(self._processes) if process is not None and i != leader]

    def kill(self, i: int) -> None:
        """Ends server i as a crash does (SIGKILL)."""
        self._processes[i].send_signal(signal.SIGKILL)
        self._processes[i].wait()
        self._processes[i] = None

    def stall(self, i: int) -> None:
        """Holds server i still: connections stay open, nothing answers."""
        self._processes[i].send_signal(signal.SIGSTOP)

    def resume(self, i: int) -> None:
        self._processes[i].send_signal(signal.SIGCONT)

    def restart(self, i: int, wait: bool = True) -> None:
        """Starts server i again with the data it had (and kills it before, if it runs)."""
        if self._processes[i] is not None:
            self.kill(i)
        self._spawn(i)
        if wait:
            self.wait()

    def expire(self, session_id: int, password: bytes, server: int | None = None) -> None:
        """Ends a session on the servers: somebody else with its id and password comes and closes it."""
        for pause_s in (0.1, 1.0, 5.0, None):
            try:
                return self._end_session(self.leader() if server is None else server, session_id, password)
            except OSError:  # the server was busy, or has just ceased to lead
                if pause_s is None:
                    raise
                time.sleep(pause_s)

    def _end_session(self, i: int, session_id: int, password: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.ports[i]), 30) as s:
            signed = session_id - (1 << 64) if session_id >= 1 << 63 else session_id
            hello = struct.pack(">iqiqi16s?", 0, 0, 10000, signed, 16, password, False)
            s.sendall(struct.pack(">i", len(hello)) + hello)
            answer = s.recv(4096)
            if len(answer) < 12 or struct.unpack_from(">i", answer, 8)[0] <= 0:
                return  # it had ended before
            s.sendall(struct.pack(">iii", 8, 1, -11))
            while s.recv(4096):
                pass

    def expire_client(self, connection) -> None:
        """Ends the session of a kazoo client, or of what has one as `.client`."""
        if found := getattr(connection, "client", connection).client_id:
            self.expire(*found)

    def stop(self) -> None:
        """Ends all servers; their data stays."""
        for i, process in enumerate(self._processes):
            if process is not None:
                process.kill()
                process.wait()
                self._processes[i] = None


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    try:
        ensemble = Ensemble(1, folder).start()
    except NoZooKeeper as e:
        sys.exit(f"no ZooKeeper: {e}")
    try:
        print(ensemble.servers, flush=True)
        while os.read(0, 4096):
            pass
    finally:
        ensemble.stop()


if __name__ == "__main__":
    main()
