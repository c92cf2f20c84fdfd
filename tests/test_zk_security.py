"""Credentials and TLS: digest, SASL DIGEST-MD5, certificates of both sides; and that secrets are never printed."""

import json
import os

import pytest
import zookeeper_ensemble as z
from test_zk_connection import eventually

from monolith_cli import errors
from monolith_cli.serving.zookeeper.connection import EphemeralNodes, NotAllowed, ZkConfig, connect


def started(folder, **more):
    try:
        return z.Ensemble(1, folder, **more).start()
    except z.NoZooKeeper as e:
        if os.environ.get("MONOLITH_REQUIRE_SERVERS") == "1":
            pytest.fail(f"no ZooKeeper: {e}")
        pytest.skip(f"no ZooKeeper: {e}")


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    made = started(tmp_path_factory.mktemp("tls"), tls="need")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def sasl(tmp_path_factory):
    made = started(tmp_path_factory.mktemp("sasl"), sasl=True)
    yield made
    made.stop()


def written(path, text):
    path.write_text(text)
    return str(path)


def test_digest_guards_what_an_owner_makes(run, zookeeper, tmp_path):
    mine, other = written(tmp_path / "mine", "alice:wonder\n"), written(tmp_path / "other", "mallory:guess")
    with connect(ZkConfig(zookeeper.servers, auth_file=mine, acl="owner")) as c:
        c.create("/s/x", b"1")
        c.create("/s/open", b"1", acl=None)
    with connect(ZkConfig(zookeeper.servers, auth_file=other)) as c:
        assert c.get("/s/x")[0] == b"1"
        for change in (lambda: c.set("/s/x", b"2"), lambda: c.create("/s/y"), lambda: c.delete("/s/x")):
            with pytest.raises(NotAllowed, match="credentials do not allow it"):
                change()
        with pytest.raises(NotAllowed):
            EphemeralNodes(c).publish("/s/e", b"")
    zk = ["--zk-servers", zookeeper.servers]
    assert run("zk", "set", "/s/x", "2", *zk, check=False).returncode == 73
    run("zk", "set", "/s/x", "3", *zk, "--zk-auth-file", mine)
    run("zk", "set", "/s/x", "4", *zk, env={"ZK_AUTH": "alice:wonder"})
    done = run("zk", "set", "/s/x", "5", *zk, "-v", env={"ZK_AUTH": "alice:wrong-secret"}, check=False)
    assert done.returncode == 73 and "wrong-secret" not in done.stderr
    shown = run("zk", "get", "/s/x", *zk, "--zk-auth-file", mine, "--show-config")
    assert b"wonder" not in shown.stdout
    assert run("zk", "rm", "-r", "-y", "/s", *zk, "--zk-auth-file", mine).returncode == 0


def test_a_backup_keeps_acls(run, zookeeper, tmp_path):
    mine = written(tmp_path / "mine", "alice:wonder")
    with connect(ZkConfig(zookeeper.servers, auth_file=mine, acl="owner")) as c:
        c.create("/s/x", b"1")
        options = ["--zk-servers", zookeeper.servers, "--zk-auth-file", mine]
        run("zk", "backup", "/s", tmp_path / "f", *options)
        assert "wonder" not in (tmp_path / "f").read_text()
        run("zk", "restore", tmp_path / "f", "--to", "/t", "--acl", *options)
        run("zk", "restore", tmp_path / "f", "--to", "/u", *options)
        assert c.get_acls("/t/x") == c.get_acls("/s/x") != c.get_acls("/u/x")
        for root in ("/s", "/t", "/u"):
            c.delete(root, recursive=True)


def test_sasl(run, sasl, tmp_path):
    good = written(tmp_path / "good", f"{z.SASL_USER}:{z.SASL_PASSWORD}")
    with connect(ZkConfig(sasl.servers, sasl_file=good)) as c:
        nodes = EphemeralNodes(c)
        nodes.publish("/s/e", b"1")
        sasl.restart(0)
        eventually(
            lambda: c.state == "connected" and nodes.paths() == {"/s/e": "published"} and c.get("/s/e")[0] == b"1"
        )
        nodes.close()
    bad = written(tmp_path / "bad", f"{z.SASL_USER}:no-such-secret")
    done = run(
        "zk",
        "tree",
        "--zk-servers",
        sasl.servers,
        "--zk-sasl-file",
        bad,
        "--zk-connect-timeout",
        "30",
        "-v",
        check=False,
    )
    assert done.returncode == 73 and "refused the credentials" in done.stderr and "no-such-secret" not in done.stderr
    assert run("zk", "tree", "--zk-servers", sasl.servers, "--zk-connect-timeout", "5", check=False).returncode in (
        69,
        73,
    )
    assert run("zk", "tree", "--zk-servers", sasl.servers, "--zk-sasl-file", good).returncode == 0


def test_tls_with_certificates_of_both_sides(run, secure):
    d = secure.certificates
    ca, cert, key = (str(d / n) for n in ("ca.pem", "client.pem", "client.key"))
    with connect(ZkConfig(secure.secure_servers, tls_ca=ca, tls_cert=cert, tls_key=key)) as c:
        nodes = EphemeralNodes(c)
        nodes.publish("/s/e", b"x" * 100000)
        assert c.get("/s/e")[0] == b"x" * 100000
        secure.restart(0)
        eventually(lambda: c.state == "connected" and nodes.paths() == {"/s/e": "published"} and c.exists("/s/e"))
    tls = ["--zk-tls-ca", ca, "--zk-tls-cert", cert, "--zk-tls-key", key, "--zk-servers", secure.secure_servers]
    assert json.loads(run("zk", "health", "--json", *tls).stdout)["status"] == "healthy"
    with pytest.raises(errors.UnavailableError):  # no certificate is shown
        connect(ZkConfig(secure.secure_servers, tls_ca=ca, connect_timeout_s=6))
    with pytest.raises(errors.UnavailableError):  # plain text to a port of TLS
        connect(ZkConfig(secure.secure_servers, connect_timeout_s=6))
    stranger = d.parent / "stranger"
    stranger.mkdir()
    z.make_certificates(stranger)
    with pytest.raises(errors.UnavailableError, match="(?i)certificate"):  # the server is signed by somebody else
        connect(
            ZkConfig(
                secure.secure_servers, tls_ca=str(stranger / "ca.pem"), tls_cert=cert, tls_key=key, connect_timeout_s=6
            )
        )
    with pytest.raises(
        errors.UnavailableError, match="(?i)certificate|hostname|IP address"
    ):  # the name is not that of the certificate
        connect(
            ZkConfig(
                secure.secure_servers.replace("127.0.0.1", "127.0.0.2"),
                tls_ca=ca,
                tls_cert=cert,
                tls_key=key,
                connect_timeout_s=6,
            )
        )


@pytest.mark.parametrize(
    "make,error",
    [
        (lambda d: ZkConfig("h:1", auth_file=str(d / "none")), errors.NoInputError),
        (lambda d: ZkConfig("h:1", auth_file=written(d / "f", "nocolon")), errors.ConfigError),
        (lambda d: ZkConfig("h:1", auth_file=written(d / "f", "a:b\nc:d\n")), errors.ConfigError),
        (lambda d: ZkConfig("h:1", sasl_file=written(d / "f", ":x")), errors.ConfigError),
        (lambda d: ZkConfig("h:1", tls_ca=str(d / "none")), errors.NoInputError),
        (lambda d: ZkConfig("h:1", tls_ca=written(d / "f", "no pem")), errors.ConfigError),
        (lambda d: ZkConfig("h:1", tls_cert="x"), errors.UsageError),
        (lambda d: ZkConfig("h:1", acl="mine"), errors.UsageError),
    ],
)
def test_files_that_are_no_credentials(tmp_path, make, error):
    with pytest.raises(error) as e:
        connect(make(tmp_path))
    assert "nocolon" not in str(e.value)


def test_the_variable_must_have_a_password():
    from monolith_cli.serving.zookeeper.client import digest_credentials

    assert (
        digest_credentials(ZkConfig("h:1"), {"ZK_AUTH": "a:b"}) == "a:b"
        and digest_credentials(ZkConfig("h:1"), {}) is None
    )
    with pytest.raises(errors.ConfigError) as e:
        digest_credentials(ZkConfig("h:1"), {"ZK_AUTH": "secret"})
    assert "secret" not in str(e.value)
