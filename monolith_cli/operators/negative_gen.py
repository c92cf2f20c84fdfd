"""Negatives for positive records, with the item features of items drawn from a pool."""

from __future__ import annotations

from dataclasses import dataclass

from monolith_cli import errors
from monolith_cli.operators.item_pool import PoolConfig

NO_ACTION = -99999  # as negative_action: leave the actions as they are


@dataclass(frozen=True)
class NegativeGenConfig:
    """What makes a positive, what its negatives are, and what is pooled.

    record_type: instance or example. neg_num: negatives of a positive, at most.
    per_channel: a pool for each value of channel_feature (a v1 slot of an instance, "" for 3; a name of an example).
    item_features: what belongs to the item: slots (instance) or names (example). index_feature: whose fid is the item's id;
        "" for line_id.item_id.
    start_num: a channel gives items when it holds more than this. max_item_num: items a channel holds, 1 to 2^30.
    positive_actions: these make a positive; () for label[label_index] == positive_label. action_priority: which of several
        actions counts, best first; () for the first.
    negative_label, negative_action: what negatives get; NO_ACTION for the actions of their positive.
    throw_origin, throw_origin_neg: input records, or those that are no positives, do not leave.
    cache_only_pos: pool items of positives alone, and of records with one of cache_negative_actions.
    origin_neg_in_pool_proba: share of other records whose item is pooled; outside [0, 1) all.
    real_neg_instance_weight: weight of input records that are no positives; sampled_neg_instance_weight: of negatives;
        up to 1e-5 counts as not given: 1, and with unbias_sampled_neg for negatives
        1 + neg_num * age ** neg_sample_decay_factor / draws, where age is (place + 1) / items of the channel.
    easy_hard_ratio: share of negatives from any channel, when per_channel.
    keep_all: negatives of an example keep raw features, data_source_key and unknown fields.
    seed: the same one gives the same draws; None draws one from the system.
    pool: where the pool is kept; None for in memory alone. save_every: input records between saves; 0: at the end alone.

    Raises UsageError for what cannot be right; what PoolConfig and the files of the pool raise.
    """

    neg_num: int
    record_type: str = "instance"
    per_channel: bool = False
    channel_feature: str = ""
    item_features: tuple[str, ...] = ()
    start_num: int = 500
    max_item_num: int = 100_000
    positive_label: float = 1
    negative_label: float = -1
    negative_action: int = NO_ACTION
    positive_actions: tuple[int, ...] = ()
    label_index: int = 0
    action_priority: tuple[int, ...] = ()
    index_feature: str = ""
    throw_origin: bool = False
    throw_origin_neg: bool = False
    cache_only_pos: bool = False
    cache_negative_actions: tuple[int, ...] = ()
    real_neg_instance_weight: float = 1.0
    sampled_neg_instance_weight: float = -1.0
    unbias_sampled_neg: bool = True
    origin_neg_in_pool_proba: float = 1.0
    neg_sample_decay_factor: float = 1.0
    easy_hard_ratio: float = 0.0
    keep_all: bool = False
    seed: int | None = None
    pool: PoolConfig | None = None
    save_every: int = 0

    def operator(self):
        """The native operator; it belongs to one chain. The pool is loaded here."""
        from monolith_cli._native import _core

        if self.save_every and self.pool is None:
            raise errors.UsageError("--save-every: name the folder of the pool with --pool-dir")
        return _core.NegativeGen(
            type=self.record_type, neg_num=self.neg_num, per_channel=self.per_channel,
            channel_feature=self.channel_feature or None, item_features=list(self.item_features), start_num=self.start_num,
            max_item_num=self.max_item_num, positive_label=self.positive_label, negative_label=self.negative_label,
            negative_action=None if self.negative_action == NO_ACTION else self.negative_action,
            positive_actions=list(self.positive_actions), label_index=self.label_index,
            action_priority=list(self.action_priority), index_feature=self.index_feature or None,
            throw_origin=self.throw_origin, throw_origin_neg=self.throw_origin_neg, cache_only_pos=self.cache_only_pos,
            cache_negative_actions=list(self.cache_negative_actions),
            real_neg_instance_weight=self.real_neg_instance_weight,
            sampled_neg_instance_weight=self.sampled_neg_instance_weight, unbias_sampled_neg=self.unbias_sampled_neg,
            origin_neg_in_pool_proba=self.origin_neg_in_pool_proba, neg_sample_decay_factor=self.neg_sample_decay_factor,
            easy_hard_ratio=self.easy_hard_ratio, keep_all=self.keep_all,
            seed=_core.random_seed() if self.seed is None else self.seed,
            pool=self.pool.place() if self.pool else None, save_every=self.save_every)
