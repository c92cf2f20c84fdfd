"""The leader's work in version 2: turns a wanted model into orders, by what the shards have room for."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from monolith_cli import errors
from monolith_cli.serving.agent.mirror import Mirror
from monolith_cli.serving.zookeeper.records import ModelMeta, PublishMeta, ResourceSpec

# A model that cannot be scheduled is tried again after this many seconds.
RETRY_S = 2.0
# sub model → (bytes, version path)
ModelInfo = dict[str, tuple[int, str]]


def place(info: ModelInfo, num_shard: int, room: dict[int, int]) -> list[dict[str, str]]:
    """Sub model → version path, for each shard. What starts with `entry` goes to every shard; everything else to one,
    the largest first, each to the shard of which the smallest part is in use then. room: bytes each shard has.
    TryAgainError where something does not fit."""
    entry = {name: path for name, (_, path) in sorted(info.items()) if name.startswith("entry")}
    used = dict.fromkeys(range(num_shard), sum(info[name][0] for name in entry))
    placed = [dict(entry) for _ in range(num_shard)]
    for shard, size in used.items():
        if size > room.get(shard, 0):
            raise errors.TryAgainError(f"shard {shard} has no room for the entry, {size} bytes")
    for name in sorted((n for n in info if n not in entry), key=lambda n: (-info[n][0], n)):
        size, path = info[name]
        fitting = [s for s in used if used[s] + size <= room[s]]
        if not fitting:
            most = max(room[s] - used[s] for s in used)
            raise errors.TryAgainError(f"no shard has room for {name}, {size} bytes; the most is {most}")
        shard = min(fitting, key=lambda s: ((used[s] + size) / max(room[s], 1), s))
        used[shard] += size
        placed[shard][name] = path
    return placed


def room_of_shards(resources: list[ResourceSpec]) -> dict[int, int]:
    """Shard → bytes that even its smallest replica has."""
    room: dict[int, int] = {}
    for spec in resources:
        room[spec.shard_id] = min(room.get(spec.shard_id, spec.memory or 0), spec.memory or 0)
    return room


class Scheduler:
    """Leads while `lead` runs: publishes orders for models of the portal and takes them back when a model leaves it.

    model_info(model_dir, ckpt) → ModelInfo. allowed(path) says whether models may come from there.
    """

    def __init__(
        self, mirror: Mirror, model_info: Callable[[str, str | None], ModelInfo], allowed: Callable[[str], bool], log
    ):
        self._mirror, self._model_info, self._allowed, self._log = mirror, model_info, allowed, log
        self._pending: dict[str, ModelMeta] = {}
        self._complaints: dict[str, str] = {}

    def lead(self, over: threading.Event) -> None:
        """Until `over` is set."""
        self._pending.clear()
        self._mirror.watch_portal()
        last = 0.0
        try:
            while not over.is_set():
                try:
                    self._take(self._mirror.portal_events.get(timeout=0.2))
                    last = 0.0
                except queue.Empty:
                    pass
                if self._pending and time.monotonic() - last > RETRY_S:
                    self._schedule_pending()
                    last = time.monotonic()
        finally:
            self._mirror.unwatch_portal()

    def _take(self, model: ModelMeta) -> None:
        name = model.model_name
        if model.action == "DELETED":
            self._pending.pop(name, None)
            self._mirror.publish(name, [])
            self._log.info(f"model {name}: orders are taken back")
        elif model.action != "NONE" or self._mirror.is_newer_than_orders(name):
            self._pending[name] = model

    def _schedule_pending(self) -> None:
        for name, meta in list(self._pending.items()):
            try:
                self._mirror.publish(name, self.orders_for(name, meta))
                self._pending.pop(name)
                self._complaints.pop(name, None)
                self._log.info(f"model {name}: orders are published")
            except (errors.Error, AssertionError, OSError, ValueError) as e:
                if self._complaints.get(name) != str(e):
                    self._complaints[name] = str(e)
                    self._log.warning(f"model {name} waits: {e}")

    def orders_for(self, name: str, meta: ModelMeta) -> list[PublishMeta]:
        """One order for each container. TryAgainError while containers or room are missing."""
        if not meta.model_dir or not self._allowed(meta.model_dir):
            raise errors.ConfigError(f"model_dir {meta.model_dir} is outside of what --model-root allows")
        num_shard = meta.num_shard if meta.num_shard and meta.num_shard > 0 else self._mirror.num_shard
        if num_shard > self._mirror.num_shard:
            raise errors.ConfigError(f"it asks for {num_shard} shards; there are {self._mirror.num_shard}")
        if self._mirror.num_replicas() is None:
            raise errors.TryAgainError("not every replica is there in every shard yet")
        info = self._model_info(meta.model_dir, meta.ckpt)
        resources = self._mirror.resources()
        spec = {int(r) for r in meta.spec_replicas or []}
        chosen = sorted(
            {
                (r.shard_id, r.replica_id)
                for r in resources
                if r.replica_id != -1 and r.shard_id < num_shard and (not spec or r.replica_id in spec)
            }
        )
        if not chosen:
            raise errors.TryAgainError(f"none of the replicas {sorted(spec)} is there")
        placed = place(info, num_shard, room_of_shards([r for r in resources if (r.shard_id, r.replica_id) in chosen]))
        num_ps = sum(1 for sub_model in info if sub_model.startswith("ps_"))
        return [
            PublishMeta(
                shard_id=shard,
                replica_id=replica,
                model_name=name,
                num_ps=num_ps,
                total_publish_num=len(chosen),
                sub_models=placed[shard],
                is_spec=bool(spec),
            )
            for shard, replica in chosen
        ]
