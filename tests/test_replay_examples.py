"""The models of examples/ out of their dumps."""

from pathlib import Path

import pytest
from model_files import wire
from replay_models import same_by_both

pytest.importorskip("tensorflow")

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def sequences(n: int) -> bytes:
    """Examples for the DIN example."""
    from monolith_protos.example_pb2 import Example

    records = []
    for i in range(n):
        record = Example(label=[float(i * i % 3 == 0)])
        past = range(i % 30)
        ids = {"user": [i % 50], "item": [i % 17], "category": [i % 5], "items_before": [j % 17 for j in past], "categories_before": [j % 5 for j in past]}
        for slot, (name, values) in enumerate(ids.items(), 1):
            record.named_feature.add(name=name).feature.fid_v2_list.value.extend(slot << 48 | v for v in values)
        records.append(record.SerializeToString())
    return wire(records)


@pytest.mark.parametrize("example, slots, labels", [("deepfm", "1-10", 1), ("mmoe", "1-5", 2)])
def test_examples(run, tmp_path, example, slots, labels):
    records = run("pb-gen", "-n", 900, "--slots", slots, "--labels", labels, "--vocab", 50).stdout
    name = {"deepfm": "DeepFM", "mmoe": "Ratings"}[example]
    same_by_both(run, tmp_path, f"{EXAMPLES / example / 'model.py'}:{name}", "instance", records)


def test_example_with_sequences_in_shared_tables(run, tmp_path):
    same_by_both(run, tmp_path, f"{EXAMPLES / 'din/model.py'}:Interest", "example", sequences(900))
