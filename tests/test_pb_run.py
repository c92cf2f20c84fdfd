"""pb-run: the same bytes as the pipe of its stages, its grammar, its messages, its explanation."""

import json
import shlex
import struct
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mangled
from conftest import ROOT, run_command

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.commands import COMMANDS, load
from monolith_cli.operators.pipeline import Pipeline
from monolith_protos import proto_parser_pb2


def frame(*payloads: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(p)) + p for p in payloads)


def instance(label=(), **line_id) -> bytes:
    record = proto_parser_pb2.Instance(label=label)
    for name, value in line_id.items():
        if isinstance(value, list):
            getattr(record.line_id, name).extend(value)
        else:
            setattr(record.line_id, name, value)
    return record.SerializeToString()


def pipe(chain: str, stream: bytes, cwd, shell_type="instance") -> bytes:
    """What the pipe makes: a process for each stage, and a shell between them."""
    env = {"PATH": f"{ROOT / 'bin'}:/usr/bin:/bin", "MONOLITH_PYTHON": sys.executable, "MONOLITH_RECORD_TYPE": shell_type}
    env |= {f"MONOLITH_{name.replace('-', '_').upper()}_ON_BAD_RECORD": "skip" for name in STAGES}
    done = subprocess.run(["bash", "-c", chain], input=stream, capture_output=True, cwd=cwd, env=env, timeout=900, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# -------------------------------------------------------------------------------------------------- the same as through pipes

numbers = st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True).map(lambda v: ",".join(map(str, v)))
STAGES = {
    "pb-filter": st.one_of(
        st.sampled_from(["--where 'chnid in [1, 2]'", "--where \"rank >= 1 or actions any [1, 2]\"", "--has-slot 1 --invert", "--label 0,1",
                         "--drop-rate 0.5 --threshold 1 --seed 3", "--field chnid --op ge --value 1", "--req-time-min 0"]),
        numbers.map("--has-action {}".format)),
    "pb-label": st.one_of(
        numbers.map("--task {}::0.5 --seed 5".format), st.just("--if 'chnid >= 1' --action 3"), st.just("--upper-bound 0.5"),
        st.sampled_from(["--scatter '0:1,1:0'", "--rank-from chnid", "--label-from rank", "--norm scale=2"])),
    "pb-reweight": st.sampled_from(["--action-priority 1,2,3 --reweight 1:3:1,2:0:1,3:2:-1", "--action-priority 2,1 --reweight 1:1:0,2:2:-1 --method add"]),
    "pb-shuffle": st.builds("--seed {} --buffer {}".format, st.integers(0, 9), st.sampled_from([1, 5, 1000])),
    "pb-head": st.integers(0, 40).map("-n {}".format),
    "pb-feature": st.sampled_from(["--slot slot_1=3 --rename a=c", "--drop a,slot_2", "--share b=7", "--keep slot_1,b"]),
    "pb-negative-gen": st.sampled_from(["--neg-num 2 --start-num 0 --item-feature 1 --seed 3", "--neg-num 1 --start-num 2 --throw-origin-neg --seed 4"]),
    "pb-split": st.sampled_from(["--by turn --flow a=- --flow b=b.out", "--by chnid --flow 1=- --flow 2=- --unmatched drop"]),
}


def test_every_operator_command_is_in_the_random_chains():
    """pb-convert has a chain of its own below, and pb-transform needs a file."""
    operators = {name for name in COMMANDS if name.startswith("pb-") and hasattr(load(name), "operators")}
    assert operators - {"pb-convert", "pb-transform"} == set(STAGES)


stages = st.sampled_from(sorted(STAGES)).flatmap(lambda name: STAGES[name].map(lambda options: f"{name} {options}"))
records = st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 3), max_size=3), st.lists(st.sampled_from([0.0, 0.5, 1.0, -1.0]), max_size=2),
                             st.integers(0, 3), st.binary(max_size=3)), min_size=30, max_size=60)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(stages, min_size=1, max_size=4), records, st.sampled_from(["instance", "example"]))
def test_random_chains_make_what_pipes_make(tmp_path_factory, chain, facts, record_type):
    stream = frame(*[instance(label, chnid=chnid, actions=actions, rank=rank, user_id=user.hex()) for chnid, actions, label, rank, user in facts])
    if record_type == "example":
        stream = run_command("pb-convert", "--from", "instance", "--to", "example", stdin=stream).stdout
    text = " | ".join(chain)
    folder = tmp_path_factory.mktemp("pipe")
    done = run_command("pb-run", "-q", "--on-bad-record", "skip", "-t", record_type, text, stdin=stream, cwd=folder)
    assert done.stdout == pipe(text, stream, folder, record_type), text


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(mangled.instance, min_size=5, max_size=12), st.lists(stages, min_size=2, max_size=3))
def test_unusual_records_too(tmp_path_factory, payloads, chain):
    text = " | ".join(chain)
    folder = tmp_path_factory.mktemp("pipe")
    assert run_command("pb-run", "--on-bad-record", "skip", text, stdin=frame(*payloads), cwd=folder).stdout == pipe(text, frame(*payloads), folder)


def test_types_change_behind_a_conversion(run, tmp_path):
    stream = frame(*[instance(chnid=i % 3, label=[i % 2]) for i in range(50)])
    chain = ("pb-filter --where 'chnid >= 1' | pb-convert --from instance --to example | pb-label -t example --if 'chnid == 1' --action 7 | "
             "pb-convert --from example --to example_batch --batch-size 4 | pb-head -n 3")
    assert run("pb-run", chain, stdin=stream).stdout == pipe(chain, stream, tmp_path) != b""


def test_files_of_stages_appear_as_in_pipes(run, tmp_path):
    stream = frame(*[instance(chnid=i % 4) for i in range(40)])
    chain = "pb-filter --where 'chnid != 0' --rejected a | pb-filter --where 'chnid != 1' --rejected b | pb-shuffle --seed 1"
    files = {}
    for how in ("run", "pipe"):
        folder = tmp_path / how
        folder.mkdir()
        out = run("pb-run", chain, stdin=stream, cwd=folder).stdout if how == "run" else pipe(chain, stream, folder)
        files[how] = {p.name: p.read_bytes() for p in folder.iterdir()} | {"stdout": out}
    assert files["run"] == files["pipe"] and set(files["run"]) == {"a", "b", "stdout"}


def test_head_ends_the_reading(run):
    """The input never ends; what an earlier stage holds back is not let out either."""
    endless = subprocess.Popen(["bash", "-c", "while :; do printf '\\2\\0\\0\\0\\0\\0\\0\\0\\020\\1'; done"], stdout=subprocess.PIPE)
    try:
        done = run("pb-run", "pb-shuffle --buffer 4 --seed 1 | pb-head -n 3 | pb-shuffle --seed 1", stdin=endless.stdout, timeout=300)
        assert done.stdout == frame(b"\x10\x01") * 3
    finally:
        endless.kill()
        endless.wait()
        endless.stdout.close()
    assert run("pb-run", "pb-head -n 0").stdout == b""


def test_a_chain_file_with_lines_and_comments(run, tmp_path):
    path = tmp_path / "chain"
    path.write_text("#!/usr/bin/env pb-run\n# what is of use\npb-filter --where 'chnid in [1, 2]'  # two channels\n| monolith pb-shuffle \\\n"
                    "  --seed 7 |\n\n pb-head -n 2\n")
    stream = frame(*[instance(chnid=i % 4) for i in range(40)])
    expected = run("pb-run", "pb-filter --where 'chnid in [1, 2]' | pb-shuffle --seed 7 | pb-head -n 2", stdin=stream).stdout
    assert run("pb-run", path, stdin=stream).stdout == expected != b""
    (tmp_path / "in.pb").write_bytes(stream)
    assert run("pb-run", path, tmp_path / "in.pb", "-o", tmp_path / "out.pb").stdout == b""
    assert (tmp_path / "out.pb").read_bytes() == expected
    assert run("pb-run", path, tmp_path / "in.pb", tmp_path / "in.pb", "--on-bad-record", "skip").stdout != expected


# ------------------------------------------------------------------------------------------------------------------ grammar

words = st.text(st.sampled_from(list("ab1-='\"\\ \t#|&;()<>*?[]{}~!é")), max_size=6)


@given(st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=3))
def test_quoted_words_come_back(chain):
    text = " | ".join(" ".join(shlex.quote(w) for w in stage) for stage in chain)
    assert [[w.text for w in stage.words] for stage in Pipeline(text).stages] == chain


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from(list("ab1-='\"\\ \t\n#|*[,")), max_size=20))
def test_the_grammar_is_that_of_a_shell(text):
    """Where the text is taken, a shell sees the same words; stages become programs that print theirs."""
    try:
        stages = Pipeline(text).stages
    except errors.UsageError:
        return
    if "\n" in text or any("=" in stage.words[0].text for stage in stages):
        return  # a line end parts commands in a shell but here; assignments are none of ours
    probe = "\n".join(f"printf '%s\\0' {text[stage.words[0].begin:stage.end]}" for stage in stages)
    shell = subprocess.run(["bash", "-c", "set -f +H; " + probe], capture_output=True, check=True).stdout
    assert shell.split(b"\0")[:-1] == [w.text.encode() for stage in stages for w in stage.words]


@settings(max_examples=300)
@given(st.text(st.sampled_from(list("pb-head n1'\"\\$`|\n#;&<>()")), max_size=30))
def test_whatever_is_typed_gives_stages_or_a_caret(text):
    try:
        made = Pipeline(text)
    except errors.UsageError as e:
        assert e.args[0].count("\n") == 2 and e.args[0].rstrip("~").endswith("^")
        return
    assert all(stage.words for stage in made.stages)
    for stage in made.stages:
        for word in stage.words:
            assert word.begin < word.end <= len(text)


@pytest.mark.parametrize(("chain", "what", "under"), [
    ("", "an empty chain", None),
    ("  # nothing\n", "an empty chain", None),
    ("| pb-head", "a command is missing before this |", "|"),
    ("pb-head |", "a command is missing behind this |", "|"),
    ("pb-head || pb-head", "a command is missing before this |", "|"),
    ("pb-head -n $N", "a variable", "$"),
    ('pb-head -n "$N"', "a variable", "$"),
    ("pb-head > out", "a redirection", ">"),
    ("pb-head; pb-head", "parts commands", ";"),
    ("pb-head &", "one pipe", "&"),
    ("pb-head `date`", "backquotes", "`"),
    ("pb-filter --where (chnid)", "quote it", "("),
    ("pb-filter --where 'chnid", "a quote that does not end", "'"),
    ('pb-filter --where "chnid', "a quote that does not end", '"'),
    ("pb-head -n 1\\", "a backslash before nothing", "\\"),
    ("pb-head | pb-filtr", "stage 2: pb-filtr: no such command; did you mean pb-filter?", "pb-filtr"),
    ("monolith pb-haed", "stage 1: pb-haed: no such command; did you mean pb-head?", "pb-haed"),
    ("pb-head | pb-show", "stage 2: pb-show is no operator", "pb-show"),
    ("pb-cat | pb-head", "stage 1: pb-cat is no operator: name sources behind the chain", "pb-cat"),
    ("pb-head -n 1 clicks.pb", "stage 1: clicks.pb: sources are named behind the chain", "clicks.pb"),
    ("pb-head -n 1\npb-head -n 2", "stage 1: pb-head: a | is missing before it", "pb-head"),
    ("pb-head -n x", "stage 1: pb-head: Invalid value for '-n' / '--records': 'x' is not a valid integer range", "-n"),
    ("pb-head --count=3", "stage 1: pb-head: No such option", "--count=3"),
    ("pb-filter --where", "stage 1: pb-filter: Option '--where' requires an argument", "--where"),
    ("pb-head | pb-head -o out", "stage 2: pb-head: -o: belongs to the whole chain; give it to pb-run", "-o"),
    ("pb-head --on-bad-record=skip", "--on-bad-record: belongs to the whole chain", "--on-bad-record=skip"),
    ("pb-head --kafka-dump", "--kafka-dump: belongs to the whole chain", "--kafka-dump"),
    ("pb-head -q", "-q: belongs to the whole chain", "-q"),
    ("pb-head --help", "--help: belongs to the whole chain", "--help"),
    ("pb-head -t example", "stage 1: --type example: the records are of type instance here", "-t"),
    ("pb-convert --from example --to instance", "stage 1: --from example: the records are of type instance here", None),
    ("pb-convert --from instance --to jsonl", "stage 1: --to jsonl: a chain takes and gives records", None),
    ("pb-convert --from instance --to example --schema x", "--schema: is not for a stage of a chain", "--schema"),
    ("pb-head | pb-label", "stage 2: nothing to do; give one of", "pb-label"),
    ("pb-convert --from instance --to example_batch | pb-filter --label 1", "stage 2: pb-filter works on single records", None),
])
def test_mistakes_show_the_place(run, chain, what, under):
    done = run("pb-run", chain, stdin=b"broken", check=False)
    assert done.returncode == 2, done.stderr
    message, line, caret = done.stderr.rstrip("\n").split("\n")
    assert message.startswith("pb-run: ") and what in message
    if under is not None:
        assert line[len(caret) - len(caret.lstrip()):len(caret)] == under


def test_a_mistake_within_an_option_keeps_its_caret(run):
    done = run("pb-run", "pb-head | pb-filter --where 'chnidd >= 1'", check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        'pb-run: stage 2: --where: unknown field "chnidd"; did you mean chnid?', "  chnidd >= 1", "  ^~~~~~", "in this stage:",
        "  pb-head | pb-filter --where 'chnidd >= 1'", "            ^" + "~" * 30]


def test_mistakes_in_files(run, tmp_path):
    path = tmp_path / "chain"
    path.write_text("pb-head\n\t| pb-label --tusk 1\n")
    done = run("pb-run", path, check=False)
    assert done.returncode == 78
    assert done.stderr.splitlines()[0].startswith(f"pb-run: {path}: line 2: stage 2: pb-label: No such option")
    assert done.stderr.splitlines()[1:] == ["  \t| pb-label --tusk 1", "  \t           ^~~~~~"]
    path.write_bytes(b"\xff")
    assert run("pb-run", path, check=False).returncode == 78
    done = run("pb-run", tmp_path / "none", check=False)
    assert done.returncode == 2 and "no such command and no such file" in done.stderr
    assert run("pb-run", tmp_path, check=False).returncode == 66
    done = run("pb-run", "pb-filter --has-fid @/nowhere", check=False)
    assert done.returncode == 66 and "stage 1: --has-fid @/nowhere" in done.stderr
    assert run("pb-run", "--json", "pb-head", check=False).returncode == 2


# -------------------------------------------------------------------------------------------------------------- bad records

GOOD, OTHER, BAD = instance(chnid=1), instance(chnid=2), b"\x2a\x02\x10\x80"  # of a LineId that is cut short


def test_bad_records_are_those_of_their_stage(run, tmp_path):
    """A stage that holds records back does not lose one because a later stage cannot read another."""
    stream = frame(GOOD, BAD, OTHER, GOOD, OTHER)
    chain = "pb-shuffle --seed 3 --buffer 2 | pb-filter --where 'chnid >= 1' | pb-label --task 1::1"
    single = run("pb-shuffle", "--seed", 3, "--buffer", 2, stdin=stream).stdout
    for stage in (["pb-filter", "--where", "chnid >= 1"], ["pb-label", "--task", "1::1"]):
        single = run(*stage, "--on-bad-record", "skip", stdin=single).stdout
    done = run("pb-run", chain, "--on-bad-record", "skip", "--stats", tmp_path / "s", stdin=stream)
    assert done.stdout == single
    assert "stage 2 (pb-filter): in a record from the stage before: " in done.stderr
    assert [(o["in"], o["out"], o["bad"]) for o in json.loads((tmp_path / "s").read_text())["operators"]] == [(5, 5, 0), (5, 4, 1), (4, 4, 0)]
    run("pb-run", chain, "--on-bad-record", tmp_path / "aside", stdin=stream)
    assert (tmp_path / "aside").read_bytes() == frame(BAD)


def test_a_bad_record_ends_the_chain_as_it_would_end_the_pipe(run, tmp_path):
    stream = frame(GOOD, OTHER, BAD, GOOD)
    done = run("pb-run", "pb-head -n 100 | pb-filter --where 'chnid >= 1' | pb-shuffle --seed 2", stdin=stream, check=False)
    assert done.returncode == 65
    assert done.stderr.startswith(f"pb-run: stdin: byte {len(frame(GOOD, OTHER))}: stage 2 (pb-filter): ") and len(done.stderr.splitlines()) == 1
    assert done.stdout == run("pb-shuffle", "--seed", 2, stdin=frame(GOOD, OTHER)).stdout
    # Held back by the first stage, unreadable for the second: what came out before stays.
    done = run("pb-run", "pb-shuffle --seed 1 | pb-filter --where 'chnid >= 1'", stdin=stream, check=False)
    assert done.returncode == 65 and "stdin: stage 2 (pb-filter): in a record from the stage before" in done.stderr
    shuffled = list(_core.MemoryReader(run("pb-shuffle", "--seed", 1, stdin=stream).stdout))
    assert done.stdout == frame(*shuffled[:shuffled.index(BAD)])


def test_broken_framing_and_other_types(run):
    done = run("pb-run", "pb-head | pb-shuffle", stdin=frame(GOOD) + b"\x05", check=False)
    assert done.returncode == 65 and done.stdout == frame(GOOD) and "cut short" in done.stderr
    example = run("pb-convert", "--from", "instance", "--to", "example", stdin=frame(GOOD)).stdout
    done = run("pb-run", "pb-head | pb-filter --label 1", stdin=example, check=False)
    assert done.returncode == 65 and "of type example, not instance" in done.stderr
    assert run("pb-run", "pb-head | pb-shuffle", stdin=example).stdout == example


# -------------------------------------------------------------------------------------------------------------- explanation

def test_explain(run, tmp_path):
    stream = frame(*[instance(chnid=i % 3, label=[1.0], actions=[1]) for i in range(30)])
    chain = "pb-filter --where 'chnid in [1, 2]' | pb-label --task 1::1 --rank-from chnid\n| pb-head -n 5"
    done = run("pb-run", "--explain", "--stats", tmp_path / "s", chain, stdin=stream)
    lines = done.stderr.splitlines()
    assert lines[:3] == ["stage 1: pb-filter --where 'chnid in [1, 2]'", "stage 2: pb-label --task 1::1 --rank-from chnid", "stage 3: pb-head -n 5"]
    rows = [line.split() for line in lines[3:8]]
    assert rows[0] == ["stage", "operator", "in", "out", "bad", "seconds", "dropped"]
    assert [row[:5] for row in rows[1:]] == [["1", "filter", "8", "5", "0"], ["2", "add_label", "5", "5", "0"],
                                            ["2", "fill_multi_rank_output", "5", "5", "0"], ["3", "limit", "5", "5", "0"]]
    assert rows[1][6:] == ["where", "3"]
    operators = json.loads((tmp_path / "s").read_text())["operators"]
    assert [(o["stage"], o["command"], o["name"]) for o in operators][2:] == [(2, "pb-label", "fill_multi_rank_output"), (3, "pb-head", "limit")]
    assert all(o["seconds"] > 0 for o in operators)
    done = run("pb-run", "-q", "--explain", "--json", chain, stdin=stream)
    (line,) = done.stderr.splitlines()
    made = json.loads(line)
    assert made["stages"][2] == {"stage": 3, "text": "pb-head -n 5"} and made["operators"][0]["dropped"] == {"where": 3}
    assert made["records_out"] == 5 and made["seconds"] >= 0
    done = run("pb-run", "-q", "--explain", "pb-filter --where 'chnid >= 1'", stdin=frame(GOOD, BAD), check=False)
    assert done.returncode == 65 and [row.split()[:5] for row in done.stderr.splitlines() if " filter " in row] == [["1", "filter", "2", "1", "1"]]
