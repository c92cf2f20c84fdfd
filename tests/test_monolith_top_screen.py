"""The live screen of monolith-top, in a terminal of its own."""

import os
import re
import signal
import sys
import termios
import time

import pytest
from fake_tfs import FakeTfs, Model
from ports import free_port
from top_helpers import Page, Terminal

from monolith_cli.serving.zookeeper.connection import ZkConfig, connect

CLEAR = re.compile(r"\x1b\[2J|\x1b\[H\x1b\[J")


@pytest.fixture
def tfs():
    with FakeTfs([Model("m", data=2), Model("other")], stock=True) as made:
        yield made.settle()


@pytest.fixture
def top(tfs):
    opened = []

    def start(*args, **more):
        args = args or ("--server", tfs.target, "--model-name", "m", "--model-name", "other")
        opened.append(Terminal("monolith-top", "--interval", 0.3, "--timeout", 30, *args, **more))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def test_shows_what_changes_without_clearing_and_q_leaves(top, tfs):
    terminal = top()
    terminal.wait_for("MODEL", "AVAILABLE", tfs.target, "q quit")
    terminal.read(0.5)
    drawn = len(terminal.text)
    tfs.set_state("m", 2, tfs.UNLOADING)
    terminal.wait_for("UNLOADING")
    terminal.read(1.0)
    assert not CLEAR.search(terminal.text[drawn:])  # only what changed is written: no flicker
    assert len(terminal.text) - drawn < 3000
    terminal.press("q")
    assert terminal.end() == 0
    assert terminal.is_restored()


@pytest.mark.parametrize("number,code", [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_gives_the_terminal_back(top, number, code):
    terminal = top()
    terminal.wait_for("AVAILABLE")
    terminal.process.send_signal(number)
    assert terminal.end() == code
    assert terminal.is_restored()


def test_control_c_gives_the_terminal_back(top):
    terminal = top()
    terminal.wait_for("AVAILABLE")
    assert termios.tcgetattr(terminal.slave) != terminal.before  # else there would be nothing to restore
    os.killpg(terminal.process.pid, signal.SIGINT)  # what the terminal sends to all of the foreground
    assert terminal.end() == 130 and terminal.is_restored() and "Traceback" not in terminal.text


def test_an_error_inside_gives_the_terminal_back(tfs):
    code = (
        "import sys; from monolith_cli.serving.top import table\n"
        "def broken(*a): raise RuntimeError('on purpose')\n"
        "table.summary = broken\nfrom monolith_cli.commands import load\n"
        f"load('monolith-top').main(['--server', '{tfs.target}'], prog_name='monolith-top')"
    )
    terminal = Terminal(command=[sys.executable, "-c", code])
    try:
        assert terminal.end() == 70 and "on purpose" in terminal.text
        assert (
            termios.tcgetattr(terminal.slave) == terminal.before
            and "\x1b[?1049l" in terminal.text.partition("on purpose")[0]
        )
    finally:
        terminal.close()


def test_follows_the_size_of_the_terminal(top, tfs):
    terminal = top()
    terminal.wait_for("AVAILABLE", "REGISTERED")
    for rows, columns, seen, unseen in (
        (10, 40, "MODEL", "STATE"),
        (3, 20, "MODEL", "SERVER"),
        (1, 2, "", "MODEL"),
        (40, 200, "NOTE", "\0"),
    ):
        before = len(terminal.text)
        terminal.resize(rows, columns)
        # All of it is drawn anew: what was on its way for the old size may stand anywhere.
        terminal.wait_until(lambda before=before: CLEAR.search(terminal.text[before:]))
        terminal.wait_until(lambda seen=seen, unseen=unseen: seen in terminal.display and unseen not in terminal.display)
        terminal.read(1.0)
        assert terminal.process.poll() is None, terminal.text[-2000:]
        assert unseen not in terminal.display and seen in terminal.display
    terminal.press("q")
    assert terminal.end() == 0


def test_keys_sort_filter_and_hold(top, tfs):
    terminal = top()
    terminal.wait_for("other", "sort model")
    terminal.press("s")
    terminal.wait_for("sort server")
    terminal.press("/oth\n")
    terminal.wait_for("filter *oth*")
    terminal.press(" ")
    terminal.wait_for("HELD")
    tfs.set_state("other", 1, tfs.LOADING)
    terminal.read(1.5)
    assert "LOADING" not in terminal.display
    terminal.press(" ")
    terminal.wait_for("LOADING")
    terminal.press("q")
    assert terminal.end() == 0


def test_scrolls_when_there_are_more_rows_than_lines(top, tfs):
    tfs.load(Model("many", policy="specific", data=tuple(range(100, 160))))
    tfs.settle()
    terminal = top("--server", tfs.target, "--model-name", "many", rows=12)
    terminal.wait_for("159", "1-9 of 60")
    terminal.press("\x1b[F\x1bOF")  # End, in both forms terminals send
    terminal.wait_for("52-60 of 60")
    terminal.press("q")
    assert terminal.end() == 0


def test_sources_that_are_down_are_shown_and_come_back(top, tfs):
    port = free_port()
    terminal = top(
        "--server",
        tfs.target,
        "--model-name",
        "m",
        "--server",
        f"127.0.0.1:{port}/{port}",
        "--zk-servers",
        f"127.0.0.1:{free_port()}",
        "--bzid",
        "b",
        "--zk-connect-timeout",
        0.5,
        "--timeout",
        0.5,
    )
    terminal.wait_for(f"server 127.0.0.1:{port} DOWN", "zookeeper", "AVAILABLE", "DOWN")
    with FakeTfs([Model("m", policy="specific", data=(777,))], address=f"127.0.0.1:{port}") as late:
        late.settle()
        terminal.wait_for("777")
        began = time.monotonic()
        terminal.press("q")
        assert terminal.end() == 0 and time.monotonic() - began < 20  # nothing is waited for


def test_servers_appear_when_zookeeper_tells_of_them(top, tfs, zookeeper):
    from monolith_cli.serving.zookeeper import paths, records

    with connect(ZkConfig(zookeeper.servers)) as connection:
        connection.create("/live/service")
        terminal = top("--zk-servers", zookeeper.servers, "--bzid", "live")
        terminal.wait_for("zookeeper", "up bzid=live")
        tfs.load(Model("ps_3"))
        path = connection.create(
            paths.replica_path("live", "rank", "ps", 3, 1),
            records.ReplicaMeta(tfs.target, stat=30).to_json(),
            ephemeral=True,
        )
        terminal.wait_for("rank", "ps:3", "AVAILABLE")
        connection.delete(path)
        terminal.wait_for("servers 0/0")
        terminal.press("q")
        assert terminal.end() == 0


def test_rates_are_live(top, tfs):
    page = Page()
    try:
        terminal = top("--server", f"{tfs.target}/{page.port}")
        page.add("m", 1)
        terminal.wait_for("AVAILABLE")
        until = time.monotonic() + 90
        while not re.search(r"[1-9][\d.]* req/s", terminal.display):
            page.add("m", 100, 25)
            terminal.read(0.1)
            assert time.monotonic() < until
        terminal.press("q")
        assert terminal.end() == 0
    finally:
        page.close()


@pytest.mark.parametrize("term", ["dumb", "no-such-terminal"])
def test_terminals_that_cannot_show_it(top, tfs, term):
    terminal = top(env={"TERM": term})
    assert terminal.end() == 2
    assert "--once" in terminal.text and "\x1b[?1049h" not in terminal.text


def test_without_color_on_request(top, tfs):
    terminal = top(env={"NO_COLOR": "1"})
    terminal.wait_for("AVAILABLE")
    assert "\x1b[32m" not in terminal.text and not re.search(r"\x1b\[3[123](;|m)", terminal.text)
    terminal.press("q")
    assert terminal.end() == 0
