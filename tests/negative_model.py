"""Negative generation, slow and obviously right, over protobuf's own classes; it draws the same random numbers."""

import struct

import numpy as np

from record_model import Facts

from monolith_protos import example_pb2, proto_parser_pb2

RESERVED = ("__LINE_ID__", "__LABEL__", "instance_weight")
_MASK = (1 << 64) - 1


class Random:
    """xoshiro256**, seeded by splitmix64, as core/base/random.h."""

    def __init__(self, seed):
        self.s = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & _MASK
            z = seed
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
            z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
            self.s.append(z ^ z >> 31)

    def next(self):
        def turn(v, k):
            return (v << k | v >> (64 - k)) & _MASK

        s = self.s
        result = turn(s[1] * 5 & _MASK, 7) * 9 & _MASK
        t = s[1] << 17 & _MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = turn(s[3], 45)
        return result

    def below(self, n):
        while True:
            wide = self.next() * n
            if wide & _MASK >= (1 << 64) % n:
                return wide >> 64

    def uniform_float(self):
        return (self.next() >> 40) * 2.0 ** -24


class Pool:
    def __init__(self, start_num, most):
        self.start_num, self.most, self.channels = start_num, most, {}

    def push(self, channel, item_id, features):
        items = self.channels.setdefault(channel, [])
        for item in items:
            if item["id"] == item_id:
                item["origin"] += 1
                return
        items.append({"id": item_id, "features": features, "origin": 1, "sample": 0})
        if len(items) > self.most:
            del items[0]

    def sample(self, channel, random):
        items = self.channels.get(channel, [])
        if len(items) <= self.start_num:
            return None
        index = random.below(len(items))
        items[index]["sample"] += 1
        return items[index], (index + 1) / len(items), 1 / items[index]["sample"]

    def sample_channel(self, otherwise, random):
        if len(self.channels) < 2:
            return otherwise
        left = random.below(sum(map(len, self.channels.values())))
        for channel, items in self.channels.items():
            if left < len(items):
                return channel
            left -= len(items)
        raise AssertionError


class Model:
    """`config` is a NegativeGenConfig."""

    def __init__(self, config):
        self.c, self.random = config, Random(config.seed)
        self.instance = config.record_type == "instance"
        self.pool = Pool(config.start_num, config.max_item_num)

    def process(self, payload):
        """What leaves for one record, as messages."""
        c = self.c
        facts = Facts(c.record_type, payload)
        record = (proto_parser_pb2.Instance if self.instance else example_pb2.Example).FromString(payload)
        positive = self.positive(facts)
        channel, item_id, item, user = self.split(record, facts)
        if positive or not c.cache_only_pos or set(facts.line_id.actions) & set(c.cache_negative_actions):
            p = np.float32(c.origin_neg_in_pool_proba)
            if channel != 0 and (positive or not 0 <= p < 1 or np.float32(self.random.below(100)) / np.float32(100) <= p):
                self.pool.push(channel, item_id, item)
        out = []
        for _ in range(c.neg_num if positive else 0):
            easy = c.per_channel and np.float32(self.random.uniform_float()) < np.float32(c.easy_hard_ratio)
            drawn_from = self.pool.sample_channel(channel, self.random) if easy else channel
            drawn = self.pool.sample(drawn_from, self.random) if drawn_from else None
            if drawn is None:
                break
            out.append(self.negative(record, facts, user, *drawn))
        if not c.throw_origin and (positive or not c.throw_origin_neg):
            origin = type(record).FromString(payload)
            origin.instance_weight = c.real_neg_instance_weight if not positive and c.real_neg_instance_weight > 1e-5 else 1
            if not self.instance:
                self.keep_features(origin, [n for n in origin.named_feature if n.name != "instance_weight"])
            out.append(origin)
        return out

    def positive(self, facts):
        c, actions = self.c, list(facts.line_id.actions)
        if not c.positive_actions:
            return c.label_index < len(facts.labels) and facts.labels[c.label_index] == c.positive_label
        if not actions:
            return False
        first = next((a for a in c.action_priority if a in actions), actions[0]) if len(actions) > 1 else actions[0]
        return first in c.positive_actions

    def split(self, record, facts):
        c, channel, item_id = self.c, 3, facts.line_id.item_id
        if self.instance:
            channel_slot = int(c.channel_feature or 3) if c.per_channel else None
            for fid in record.fid:
                if fid >> 54 == channel_slot:
                    channel = fid
                if c.index_feature and fid >> 54 == int(c.index_feature):
                    item_id = fid
            slots = set(map(int, c.item_features))
            return channel, item_id, [f for f in record.fid if f >> 54 in slots], [f for f in record.fid if f >> 54 not in slots]
        for named in record.named_feature:
            first = (list(named.feature.fid_v1_list.value) + list(named.feature.fid_v2_list.value))[:1]
            if first and c.per_channel and named.name == c.channel_feature:
                channel = first[0]
            if first and c.index_feature and named.name == c.index_feature:
                item_id = first[0]
        last = {n.name: i for i, n in enumerate(record.named_feature)}
        item = [n for i, n in enumerate(record.named_feature) if n.name in c.item_features and last[n.name] == i]
        user = [n for n in record.named_feature if n.name not in c.item_features and n.name not in RESERVED]
        return channel, item_id, item, user

    def negative(self, record, facts, user, item, time_factor, freq_factor):
        c = self.c
        negative = type(record)()
        if self.instance or c.keep_all:
            negative.CopyFrom(record)
        if self.instance:
            del negative.fid[:]
            negative.fid.extend(user + item["features"])
        else:
            self.keep_features(negative, user + item["features"])
        del negative.label[:]
        negative.label.extend(facts.labels)
        if c.label_index < len(facts.labels):
            negative.label[c.label_index] = c.negative_label
        negative.line_id.CopyFrom(facts.line_id)
        negative.line_id.item_id = item["id"]
        if c.negative_action != -99999:
            negative.line_id.actions[:] = [c.negative_action]
        weight = 1.0
        if c.sampled_neg_instance_weight > 1e-5:
            weight = c.sampled_neg_instance_weight
        elif c.unbias_sampled_neg:
            weight = 1 + c.neg_num * time_factor ** c.neg_sample_decay_factor * freq_factor
        negative.instance_weight = weight
        return negative

    @staticmethod
    def keep_features(example, features):
        copies = [example_pb2.NamedFeature.FromString(n.SerializeToString()) for n in features]
        del example.named_feature[:]
        example.named_feature.extend(copies)

    def pool_items(self):
        """(channel, id, features, origin, sample), as `features_of` gives them for the native pool."""
        def features(f):
            return struct.pack(f"<{len(f)}Q", *f) if self.instance else [n.SerializeToString(deterministic=True) for n in f]

        return [(c, i["id"], features(i["features"]), i["origin"], i["sample"]) for c, items in self.pool.channels.items() for i in items]
