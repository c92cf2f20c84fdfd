"""From a model's slots to the configurations of its tables: adjacent equal slices become one segment."""

from __future__ import annotations

from typing import Any

from monolith_cli.model.errors import ModelError
from monolith_cli.model.feature import DEFAULT_EXPIRE_DAYS, FeatureFactory, FeatureSlot
from monolith_cli.tables import config as table_config
from monolith_cli.tables.graph import FeaturePlan
from monolith_cli.model.learning_rate_functions import PolynomialDecay


def segment_of(s) -> tuple[Any, Any]:
    """(segment proto, learning rate: number or callable) of one slice."""
    try:
        segment = table_config.CombineAsSegment(s.dim, s.initializer, s.optimizer, s.compressor)
    except (AttributeError, TypeError) as e:
        raise ModelError(
            f"slot {s.slot.name!r}: slices take the initializers, optimizers and compressors of monolith_cli.model "
            f"({e}); dense variables alone take tf.compat.v1.train optimizers"
        ) from None
    return segment, s.learning_rate_fn if s.learning_rate_fn is not None else _own_rate(segment)


def _own_rate(segment) -> Any:
    kind = segment.opt_config.WhichOneof("type")
    config = getattr(segment.opt_config, kind)
    rate = getattr(config, "learning_rate", 0.0)
    warmup = getattr(config, "warmup_steps", 0)
    return PolynomialDecay(0.0, warmup, rate) if warmup > 0 else rate


def merged_segments(slot: FeatureSlot) -> tuple[list, list]:
    """(segments, learning rates): adjacent slices that are equal but for their width are one segment."""
    segments: list = []
    rates: list = []
    last_key = None
    for s in slot.slices:
        segment, rate = segment_of(s)
        dim, segment.dim_size = segment.dim_size, 0
        key = (segment.SerializeToString(deterministic=True), str(rate))
        # batch_softmax has one weight in a segment.
        if key == last_key and segment.opt_config.WhichOneof("type") != "batch_softmax":
            segments[-1].dim_size += dim
            continue
        segment.dim_size = dim
        segments.append(segment)
        rates.append(rate)
        last_key = key
    return segments, rates


def table_configs(factory: FeatureFactory) -> dict[str, table_config.HashTableConfigInstance]:
    """Table name -> configuration, one table per slot."""
    from monolith_protos import embedding_hash_table_pb2

    configs = {}
    expires = any(slot.config.expire_time != DEFAULT_EXPIRE_DAYS for slot in factory.slots.values())
    for name, slot in sorted(factory.slots.items()):
        if not slot.slices:
            raise ModelError(f"slot {name!r} has no slice: look up one of its features, or drop it")
        proto = embedding_hash_table_pb2.EmbeddingHashTableConfig()
        segments, rates = merged_segments(slot)
        proto.entry_config.segments.extend(segments)
        slot.config.hashtable_config.mutate_table(proto)
        if expires:
            proto.slot_expire_time_config.CopyFrom(_expire_config(factory))
        configs[name] = table_config.HashTableConfigInstance(proto, rates)
    return configs


def _expire_config(factory: FeatureFactory):
    """SlotExpireTimeConfig of all tables, the same for each since a save goes by that of the first: the days of every slot that
    has a number, and for the ids of all others the longest of theirs, so that none is dropped too early."""
    from monolith_protos.embedding_hash_table_pb2 import SlotExpireTimeConfig

    config = SlotExpireTimeConfig()
    for slot in sorted(factory.slots.values(), key=lambda s: s.name):
        if slot.config.slot_id is not None:
            config.slot_expire_times.add(slot=slot.config.slot_id, expire_time=slot.config.expire_time)
    config.default_expire_time = _days_of_named(factory)
    return config


def _days_of_named(factory: FeatureFactory) -> int:
    named = [s.config.expire_time for s in factory.slots.values() if s.config.slot_id is None]
    return max(named, default=DEFAULT_EXPIRE_DAYS)


def expire_notes(factory: FeatureFactory) -> list[str]:
    """What a person should know of expiry times that do not hold."""
    days = _days_of_named(factory)
    short = [s for s in factory.slots.values() if s.config.slot_id is None and s.config.expire_time < days]
    return [
        f"column {s.name!r}: its ids expire after {days} days, not {s.config.expire_time}: features that are named have no slot number, "
        "and the longest of their expiry times holds for all"
        for s in sorted(short, key=lambda s: s.name)
    ]


def empty_table_notes(factory: FeatureFactory, sizes: dict[str, int]) -> list[str]:
    """What a person should know of tables that no record of a training had an id for."""
    notes = []
    for name, size in sorted(sizes.items()):
        slot = factory.slots.get(name)
        if size or slot is None or slot.config.occurrence_threshold:
            continue
        features = [repr(c.feature_name) for c in factory.columns.values() if c.feature_slot.name == name]
        if features:
            notes.append(
                f"table {name!r} is empty: no record had an id of feature {', '.join(features)}; is that its name in the data?"
            )
    return notes


def unused_slot_notes(factory: FeatureFactory) -> list[str]:
    """What a person should know of slots in which no feature is looked up."""
    used = {c.feature_slot.name for c in factory.columns.values()}
    unused = sorted(name for name in factory.slots if name not in used)
    return [f"slot {name!r}: no feature is looked up in it, so that its table stays empty" for name in unused]


def occurrence_thresholds(factory: FeatureFactory) -> dict[str, int]:
    """Table name -> occurrences that its ids need; tables whose ids need none are left out."""
    slots = sorted(factory.slots.items())
    return {name: slot.config.occurrence_threshold for name, slot in slots if slot.config.occurrence_threshold > 0}


def threshold_config(default: int = 0, slots: dict[int, int] | None = None) -> bytes:
    """A serialized SlotOccurrenceThresholdConfig."""
    from monolith_protos.embedding_hash_table_pb2 import SlotOccurrenceThresholdConfig

    config = SlotOccurrenceThresholdConfig()
    for slot, threshold in sorted((slots or {}).items()):
        config.slot_occurrence_thresholds.add(slot=slot, occurrence_threshold=threshold)
    if default:
        config.default_occurrence_threshold = default
    return config.SerializeToString()


def feature_plans(factory: FeatureFactory, features) -> list[FeaturePlan]:
    """What the fused lookup does, for the columns whose feature the input has."""
    return [
        FeaturePlan(
            feature=c.feature_name,
            table=c.feature_slot.name,
            slice_dims=c.feature_slot.slice_dims,
            combiner=c.combiner.name,
            max_seq_length=c.combiner.max_seq_length,
        )
        for c in factory.present_columns(features)
        if c.feature_slot.slices
    ]


def learning_rates(configs: dict[str, table_config.HashTableConfigInstance]) -> dict[str, list]:
    """Table name -> one rate per segment: numbers, or scalar tensors that follow the global step."""
    return {name: [fn() if callable(fn) else fn for fn in config.learning_rate_fns] for name, config in configs.items()}
