"""Names of sources: date and number ranges, globs, folders."""

import os

import pytest

from monolith_cli import errors
from monolith_cli.records.patterns import expand, gen_patterns
from monolith_cli.records.sources import expand as expand_sources
from monolith_cli.records.sources import parse_shard


def test_ranges():
    names = expand("data_{DATE(20201120, 20201210)}/hour_{INT(0, 5)}/part_{INT(0, 3)}")
    assert len(names) == 504
    assert (names[0], names[4], names[-1]) == (
        "data_20201120/hour_0/part_0", "data_20201120/hour_1/part_0", "data_20201210/hour_5/part_3")
    assert expand("{DATE(2020123122,2021010101)}") == ["2020123122", "2020123123", "2021010100", "2021010101"]
    assert expand("a b/{INT(9,11)}") == ["a b/9", "a b/10", "a b/11"]
    assert expand("plain") == ["plain"]


@pytest.mark.parametrize("text", ["{DATE}", "{DATE()}", "{INT(1)}", "{INT(1,2,3)}", "{FOO(1,2)}", "{INT(2,1)}", "{INT(a,b)}",
                                  "{DATE(20200101,2020010100)}", "{DATE(20200230,20200301)}", "{DATE(2020,2021)}",
                                  "{DATE(20200102,20200101)}", "{INT(0,99999999999)}", "{INT(1,9999)}{INT(1,9999)}", "{}"])
def test_malformed_ranges(run, text):
    with pytest.raises(errors.UsageError):
        expand(text)
    done = run("pb-cat", text, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_date_folders():
    days = gen_patterns("/abc", 20220901, end_date=20220920)
    assert len(days) == 19 and days[0] == "/abc/20220901/*" and days[-1] == "/abc/20220919/*"
    assert gen_patterns("/abc", 20220901, 22, 20220902, 1, is_hourly=True, wildcard="*/part*") == [
        "/abc/20220901/22*/part*", "/abc/20220901/23*/part*", "/abc/20220902/00*/part*"]
    assert gen_patterns("/abc", 20220901, end_date=20220901) == []
    assert gen_patterns("/abc", None) == [] and gen_patterns("", 20220901) == []
    assert gen_patterns("/abc", "20220901", end_date="20220903", wildcard="") == ["/abc/20220901/*", "/abc/20220902/*"]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("log/20260101/part-1", "log/20260101/part-0", "log/20260103/part-0", "log/.hidden", "log/.git/x",
                 "log/part.tmp-0123456789ab", "has {braces}", "a[b]"):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as f:
            f.write(b"\x01" + bytes(7) + name[-1:].encode())
    os.makedirs("empty/below")
    return tmp_path


def test_sources(tree):
    day1 = ["log/20260101/part-0", "log/20260101/part-1"]
    assert expand_sources(["log"]) == [*day1, "log/20260103/part-0"]
    assert expand_sources(["log/*/part-0"]) == ["log/20260101/part-0", "log/20260103/part-0"]
    assert expand_sources(["log/2026*"]) == [*day1, "log/20260103/part-0"]
    assert expand_sources(["log/**/part-1"]) == ["log/20260101/part-1"]
    assert expand_sources(["log/{DATE(20260101,20260131)}/part-*"]) == [*day1, "log/20260103/part-0"]
    assert expand_sources(["log/20260101/part-{INT(0,5)}"]) == day1
    assert expand_sources(["log/{DATE(20260101,20260102)}"]) == day1
    assert expand_sources(["has {braces}", "a[b]", "-"]) == ["has {braces}", "a[b]", "-"]
    assert expand_sources([]) == ["-"]


@pytest.mark.parametrize("source", ["none", "none/*", "empty", "log/{DATE(20250101,20250131)}", "none{INT(1,2)}"])
def test_nothing_there(run, tree, source):
    with pytest.raises(errors.NoInputError):
        expand_sources([source])
    done = run("pb-cat", "log", source, check=False, cwd=tree)
    assert done.returncode == 66 and source in done.stderr and done.stdout == b""


def test_unreadable_file(run, tree):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    os.chmod("a[b]", 0)
    done = run("pb-cat", "a[b]", check=False, cwd=tree)
    assert done.returncode == 66 and "a[b]: Permission denied" in done.stderr


def test_files_are_shared_out(run, tree):
    out = [run("pb-cat", "--shard", f"{i}/2", "log", cwd=tree).stdout for i in range(2)]
    whole = run("pb-cat", "log", cwd=tree).stdout
    assert out == [whole[:9] + whole[18:], whole[9:18]]
    assert run("pb-cat", "--shard", "5/9", "log", cwd=tree).stdout == b""


@pytest.mark.parametrize("shard", ["2/2", "1", "a/b", "-1/2", "1/0", "1/2/3"])
def test_malformed_shards(run, shard):
    with pytest.raises(errors.UsageError):
        parse_shard(shard)
    assert run("pb-cat", f"--shard={shard}", check=False).returncode == 2
