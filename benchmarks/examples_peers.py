"""The models of examples/ as DeepCTR-Torch and TorchRec have them, on the records that an example's run.sh has made.

    python benchmarks/examples_peers.py EXAMPLE WORKDIR [--seeds 1,2,3] [--epochs 10]

EXAMPLE: deepfm, dcn, din, mmoe or dlrm; WORKDIR: that of its run.sh. Needs pb-convert on PATH, and in this Python deepctr-torch, torch
and, for dlrm, torchrec. Ids are numbered in the order of their first occurrence in the training part, ids that are only in the test
are one more. The library's defaults hold where nothing is said; widths, batch size and epochs are ours. After each epoch the test part
is judged; printed are the AUC after each, and of each seed the best: the peer is given the choice of its epoch on the test itself.
"""

import argparse
import json
import random
import statistics
import subprocess

import numpy as np
import torch

BATCH = {"deepfm": 256, "dcn": 128, "din": 512, "mmoe": 256, "dlrm": 128}
WIDTH = {"deepfm": 16, "dcn": 8, "din": 16, "mmoe": 16, "dlrm": 8}
PAST = 20


def records(path: str, kind: str):
    done = subprocess.Popen(["pb-convert", "-q", "--from", kind, "--to", "jsonl", path], stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout]


def columns_of_instance(rows):
    """Sparse features of one id by slot, "counts" as floats, labels."""
    slots = sorted({int(f) >> 54 for r in rows[:500] for f in r.get("fid", [])})
    sparse = {f"s{s}": [0] * len(rows) for s in slots}
    dense, labels = [], []
    for i, r in enumerate(rows):
        for f in r.get("fid", []):
            if f"s{int(f) >> 54}" in sparse:
                sparse[f"s{int(f) >> 54}"][i] = int(f)
        dense += [f["float_value"] for f in r.get("feature", []) if f["name"] == "counts"]
        labels.append(r["label"])
    return sparse, np.array(dense, np.float32), np.array(labels, np.float32)


def ids_of(feature):
    for value in feature.values():
        if isinstance(value, dict):
            found = value.get("value", [])
            return [int(v) for v in found]
    return []


def columns_of_example(rows):
    """One id of user, item and category; the past as lists."""
    names = ["user", "item", "category", "items_before", "categories_before"]
    out = {n: [] for n in names}
    labels = []
    for r in rows:
        features = {f["name"]: ids_of(f["feature"]) for f in r["named_feature"]}
        for n in names:
            ids = features.get(n, [])
            out[n].append(ids[:PAST] if n.endswith("before") else (ids or [0])[0])
        labels.append(r["label"])
    return out, np.array(labels, np.float32)


class Numbers:
    """Ids as 1, 2, ...; in the test an id that training has not is 1; 0 is padding."""

    def __init__(self):
        self.known = {}

    def train(self, values):
        return [self.known.setdefault(v, len(self.known) + 2) for v in values]

    def test(self, values):
        return [self.known.get(v, 1) for v in values]


def auc(labels, scores):
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    values, first, counts = np.unique(np.asarray(scores)[order], return_index=True, return_counts=True)
    ranks[order] = np.repeat(first + (counts + 1) / 2, counts)
    p = labels > 0.5
    return float((ranks[p].sum() - p.sum() * (p.sum() + 1) / 2) / (p.sum() * (~p).sum()))


def data_of(example, work):
    """(inputs of training, of the test, labels of both, sizes of the vocabularies)."""
    if example == "din":
        (a, la), (b, lb) = (columns_of_example(records(f"{work}/{p}.pb", "example")) for p in ("train", "test"))
        numbers = {"user": Numbers(), "item": Numbers(), "category": Numbers()}
        shared = {"items_before": "item", "categories_before": "category"}
        for name in a:
            n, table = numbers[shared.get(name, name)], name not in shared
            if table:
                a[name], b[name] = np.array(n.train(a[name])), np.array(n.test(b[name]))
        for name, of in shared.items():
            padded = []
            for part, how in ((a, numbers[of].train), (b, numbers[of].test)):
                rows = [how(ids) for ids in part[name]]
                padded.append(np.array([r + [0] * (PAST - len(r)) for r in rows]))
                part[f"{name}_length"] = np.array([max(1, len(r)) for r in rows])
            a[name], b[name] = padded
        return a, b, la, lb, {n: len(v.known) + 2 for n, v in numbers.items()}
    (a, da, la), (b, db, lb) = (columns_of_instance(records(f"{work}/{p}.pb", "instance")) for p in ("train", "test"))
    sizes = {}
    for name in a:
        n = Numbers()
        a[name], b[name] = np.array(n.train(a[name])), np.array(n.test(b.get(name, [0] * len(lb))))
        sizes[name] = len(n.known) + 2
    if len(da):
        for part, dense in ((a, da), (b, db)):
            part |= {f"d{i}": np.log1p(np.maximum(dense[:, i], 0)) for i in range(dense.shape[1])}
    return a, b, la, lb, sizes


def deepctr(example, sizes, inputs, width, seed):
    # The models seed torch themselves: with 1024, unless they are told.
    from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat
    from deepctr_torch.models import DCN, DIN, MMOE, DeepFM

    if example == "din":
        from deepctr_torch.inputs import get_feature_names  # noqa: F401 - an old layout of the package fails here, with a message

        columns = [SparseFeat("user", sizes["user"], width)]
        for name, past in (("item", "items_before"), ("category", "categories_before")):
            columns.append(SparseFeat(name, sizes[name], width, embedding_name=name))
            columns.append(VarLenSparseFeat(SparseFeat(f"hist_{name}", sizes[name], width, embedding_name=name), PAST, length_name="seq_length"))
        return DIN(columns, ["item", "category"], task="binary", device="cpu", seed=seed)
    columns = [SparseFeat(n, s, width) for n, s in sizes.items()] + [DenseFeat(n, 1) for n in inputs if n.startswith("d")]
    if example == "deepfm":
        return DeepFM(columns, columns, dnn_hidden_units=(128, 64), task="binary", device="cpu", seed=seed)
    if example == "dcn":
        return DCN(columns, columns, cross_num=2, dnn_hidden_units=(64, 32), task="binary", device="cpu", seed=seed)
    return MMOE(columns, num_experts=4, expert_dnn_hidden_units=(64, 32), gate_dnn_hidden_units=(), tower_dnn_hidden_units=(16,),
                task_types=("binary", "binary"), task_names=("liked", "loved"), device="cpu", seed=seed)


class TorchRecDLRM(torch.nn.Module):
    """TorchRec's DLRM over an embedding bag per slot."""

    def __init__(self, sizes, width):
        super().__init__()
        from torchrec import EmbeddingBagCollection, EmbeddingBagConfig
        from torchrec.models.dlrm import DLRM

        tables = [EmbeddingBagConfig(num_embeddings=s, embedding_dim=width, name=f"t_{n}", feature_names=[n]) for n, s in sizes.items()]
        self.names = list(sizes)
        self.dlrm = DLRM(EmbeddingBagCollection(tables=tables), 13, [32, width], [64, 32, 1])

    def forward(self, dense, sparse):
        from torchrec import KeyedJaggedTensor

        values = sparse.t().reshape(-1)
        keyed = KeyedJaggedTensor.from_lengths_sync(self.names, values, torch.ones(len(values), dtype=torch.int32))
        return self.dlrm(dense, keyed).reshape(-1)


def train_dlrm(sizes, a, b, la, lb, seed, epochs):
    torch.manual_seed(seed)
    names = list(sizes)
    model = TorchRecDLRM(sizes, WIDTH["dlrm"])
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    dense = [torch.tensor(np.stack([p[f"d{i}"] for i in range(13)], 1)) for p in (a, b)]
    sparse = [torch.tensor(np.stack([p[n] for n in names], 1)) for p in (a, b)]
    y, out = torch.tensor(la[:, 0]), []
    for _ in range(epochs):
        order = torch.randperm(len(y))
        for at in range(0, len(y), BATCH["dlrm"]):
            rows = order[at : at + BATCH["dlrm"]]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(dense[0][rows], sparse[0][rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            out.append([auc(lb[:, 0], model(dense[1], sparse[1]).numpy())])
    return out


def train_deepctr(example, sizes, a, b, la, lb, seed, epochs):
    model = deepctr(example, sizes, a, WIDTH[example], seed)
    torch.manual_seed(seed)  # of the order of the rows
    model.compile("adam", "binary_crossentropy" if example != "mmoe" else ["binary_crossentropy"] * 2, metrics=[])
    if example == "din":
        a, b = ({"user": p["user"], "item": p["item"], "category": p["category"], "hist_item": p["items_before"],
                 "hist_category": p["categories_before"], "seq_length": p["items_before_length"]} for p in (a, b))  # fmt: skip
    out = []
    for _ in range(epochs):
        model.fit(a, la, batch_size=BATCH[example], epochs=1, verbose=0)
        scores = np.asarray(model.predict(b, 4096)).reshape(len(lb), -1)
        out.append([auc(lb[:, i], scores[:, i]) for i in range(lb.shape[1])])
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("example", choices=list(BATCH))
    parser.add_argument("work")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(1)  # small batches: a second thread costs more than it gives
    a, b, la, lb, sizes = data_of(args.example, args.work)
    la, lb = (x if x.ndim == 2 else x[:, None] for x in (la, lb))
    print(f"{args.example}: {len(la)} rows to train on, {len(lb)} to test on, {sum(sizes.values())} ids")
    best = []
    for seed in map(int, args.seeds.split(",")):
        random.seed(seed)
        np.random.seed(seed)
        train = train_dlrm if args.example == "dlrm" else lambda *x: train_deepctr(args.example, *x)
        epochs = train(sizes, dict(a), dict(b), la, lb, seed, args.epochs)
        print(f"seed {seed}, AUC after each epoch:", " ".join("/".join(f"{v:.4f}" for v in e) for e in epochs), flush=True)
        best.append([max(e[i] for e in epochs) for i in range(lb.shape[1])])
    for i in range(lb.shape[1]):
        of = [b[i] for b in best]
        print(f"best AUC, label {i}: {statistics.mean(of):.4f} [{min(of):.4f}, {max(of):.4f}]")


if __name__ == "__main__":
    main()
