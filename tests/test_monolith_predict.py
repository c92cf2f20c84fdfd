"""monolith-predict: lines, id fields and their order; every type of record."""

import json

import pytest
from model_files import COUNTER, items, write_model

pytest.importorskip("tensorflow")


def test_lines_ids_and_types(run, tmp_path):
    model = write_model(tmp_path, COUNTER)
    values = [3, 1, 3, 2, 3]
    data = items(values)
    args = ["--model", model, "--model-dir", tmp_path / "m"]
    run("monolith-train", *args, stdin=data)
    lines = run("monolith-predict", *args, "--batch-size", "2", "--json", "--id-fields", "uid,req_time", stdin=data).stdout.decode()
    assert [json.loads(line) for line in lines.splitlines()] == [
        {"uid": i, "req_time": 0, "pred": {"count": {1: 1.0, 2: 1.0, 3: 3.0}[v]}} for i, v in enumerate(values)
    ]
    wrong = run("monolith-predict", *args, "--json", "--id-fields", "nope", stdin=data, check=False)
    assert wrong.returncode in (2, 78) and "nope" in wrong.stderr and "Traceback" not in wrong.stderr

    # The same records as Examples, through a model of Examples on the same checkpoint.
    other = write_model(
        tmp_path, COUNTER.replace("parse_instances(", "parse_examples(").replace("fidv2_features", "sparse_features"), "examples.py"
    )
    examples = run("pb-convert", "--from", "instance", "--to", "example", stdin=data).stdout
    out = run("monolith-predict", "--model", other, "--model-dir", tmp_path / "m", "-t", "example", stdin=examples).stdout
    assert out.decode().split() == ["3.0", "1.0", "3.0", "1.0", "3.0"]
