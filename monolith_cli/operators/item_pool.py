"""Where an item pool is kept, and which worker keeps it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from monolith_cli import errors


@dataclass(frozen=True)
class PoolConfig:
    """A pool in a folder, as files `model.ckpt-<step>_item_pool_<worker>_<shard>_<workers>`.

    folder: is made when it does not exist.
    step: saved as this one; restored from the largest up to it.
    shards: files the pool is saved in, by channel id; as many as when it was saved.
    worker, workers: which of how many; None for what TF_CONFIG says.
    """

    folder: str
    step: int = 0
    shards: int = 1
    worker: int | None = None
    workers: int | None = None

    def place(self):
        """The same for the native core. Raises UsageError, ConfigError for TF_CONFIG."""
        from monolith_cli._native import _core

        worker, workers = self.worker, self.workers
        if worker is None and workers is None:
            worker, workers = worker_of_cluster(os.environ)
        worker, workers = worker or 0, 1 if workers is None else workers
        if not 0 <= worker < workers:
            raise errors.UsageError(f"--worker-index {worker}: of {workers} workers (--worker-count) there are 0 to {workers - 1}")
        if not self.folder:
            raise errors.UsageError("--pool-dir: an empty name")
        return _core.PoolPlace(os.fsencode(self.folder), self.step, worker, workers, self.shards)


def worker_of_cluster(environ: Mapping[str, str]) -> tuple[int, int]:
    """(index, number) of this worker by TF_CONFIG: chiefs and workers count, a chief is 0, worker i is i + 1.

    Without TF_CONFIG (0, 1). Raises ConfigError when it is no such JSON.
    """
    import json

    text = environ.get("TF_CONFIG", "")
    if not text:
        return 0, 1
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        workers = len(cluster.get("chief", ())) + len(cluster.get("worker", ()))
        index = int(task.get("index", 0)) + 1 if task.get("type") == "worker" else 0
    except (ValueError, AttributeError, TypeError) as e:
        raise errors.ConfigError(f"TF_CONFIG: {e}") from None
    workers = max(workers, 1)
    if index >= workers:
        raise errors.ConfigError(f"TF_CONFIG: task {task} is none of the {workers} of its cluster")
    return index, workers
