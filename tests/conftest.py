"""Fixtures of all tests: running commands as a user does, real data where it is at hand."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

# Examples are drawn anew in every run; HYPOTHESIS_PROFILE=ci draws the same ones each time. Machines are slow at times: no deadline, and
# no complaint about how long drawing takes.
SLOW = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("default", **SLOW)
hypothesis.settings.register_profile("ci", **SLOW, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A shell's background jobs ignore SIGINT, what nohup starts ignores SIGHUP, and both hand that on to every child; the commands under test
# are to hear them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).resolve().parent.parent
# Their assertions tell what differs, as those of the tests themselves.
pytest.register_assert_rewrite(*(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith(("test_", "conftest"))))


def run_command(name, *args, stdin=b"", env=None, check=True, timeout=900, cwd=None, **popen):
    """Runs one command; stdout as bytes, stderr as text. With check, a non-zero exit fails the test and shows stderr."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MONOLITH_")}
    environment |= {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"} | (env or {})
    if "stdin" not in popen and isinstance(stdin, (bytes, bytearray)):
        popen["input"] = stdin
    else:
        popen["stdin"] = stdin
    done = subprocess.run([sys.executable, "-m", "monolith_cli", name, *map(str, args)], env=environment, timeout=timeout, cwd=cwd,
                          stdout=popen.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, **popen)
    done.stderr = done.stderr.decode("utf-8", "replace")
    if check and done.returncode != 0:
        pytest.fail(f"{name} {' '.join(map(str, args))}: exit {done.returncode}\n{done.stderr}")
    return done


@pytest.fixture(autouse=True)
def sigpipe_as_it_was():
    """A command that runs inside of a test has SIGPIPE kill its process, as in a pipeline; the tests after it must not die of it."""
    before = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, before)


@pytest.fixture
def run():
    return run_command


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data sets; tests that need it are skipped without it."""
    path = Path(os.environ.get("MONOLITH_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"real data sets are not at hand: {path} (set MONOLITH_SHARED_DATA)")
    return path


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """A running Kafka broker; tests that need it are skipped without one, unless MONOLITH_REQUIRE_SERVERS=1."""
    import kafka_broker

    try:
        made = kafka_broker.Broker(tmp_path_factory.mktemp("kafka"))
        made.start()
    except kafka_broker.NoBroker as e:
        if os.environ.get("MONOLITH_REQUIRE_SERVERS") == "1":
            pytest.fail(f"no Kafka broker: {e}")
        pytest.skip(f"no Kafka broker: {e}")
    yield made
    made.stop()


def _zookeeper(n, folder):
    """n running ZooKeeper servers; skipped without them, unless MONOLITH_REQUIRE_SERVERS=1."""
    import zookeeper_ensemble

    try:
        return zookeeper_ensemble.Ensemble(n, folder).start()
    except zookeeper_ensemble.NoZooKeeper as e:
        if os.environ.get("MONOLITH_REQUIRE_SERVERS") == "1":
            pytest.fail(f"no ZooKeeper: {e}")
        pytest.skip(f"no ZooKeeper: {e}")


@pytest.fixture(scope="module")
def zookeeper(tmp_path_factory):
    """One ZooKeeper server, a `zookeeper_ensemble.Ensemble`."""
    made = _zookeeper(1, tmp_path_factory.mktemp("zookeeper"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def zookeeper_ensemble(tmp_path_factory):
    """Three ZooKeeper servers, a `zookeeper_ensemble.Ensemble`. A test that killed or stalled one brings it back."""
    made = _zookeeper(3, tmp_path_factory.mktemp("zookeeper"))
    yield made
    made.stop()
