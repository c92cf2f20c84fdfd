"""The configuration classes of tables: the exact bytes they stand for, and what the core makes of them."""

import subprocess
import sys

import pytest

from monolith_cli.errors import ConfigError
from monolith_cli.tables.config import (
    AdadeltaOptimizer,
    AdagradOptimizer,
    AdaGradWithGroupLassoOptimizer,
    AdamOptimizer,
    AmsgradOptimizer,
    BatchSoftmaxInitializer,
    BatchSoftmaxOptimizer,
    CombineAsSegment,
    ConstantsInitializer,
    CuckooHashTableConfig,
    DynamicWdAdagradOptimizer,
    FixedR8Compressor,
    Fp16Compressor,
    Fp32Compressor,
    FtrlOptimizer,
    FTRLWithGroupSparsityOptimizer,
    HashTableConfigInstance,
    MomentumOptimizer,
    MovingAverageOptimizer,
    OneBitCompressor,
    RandomUniformInitializer,
    RmspropOptimizer,
    RmspropV2Optimizer,
    SgdOptimizer,
    StochasticRoundingFloat16OptimizerWrapper,
    ZerosInitializer,
)


@pytest.mark.parametrize(
    "config, expected",
    [
        (SgdOptimizer(), "1200"),
        (SgdOptimizer(0.01), "1205150ad7233c"),
        (AdagradOptimizer(0.01, 0.1), "0a13150ad7233c1dcdcccc3d20012d000000003000"),
        (AdagradOptimizer(initial_accumulator_value=1.0), "0a0e1d0000803f20012d000000003000"),
        (FtrlOptimizer(initial_accumulator_value=1e-6, beta=1.0), "1a0c1d0000803f25bd3786353800"),
        (AdamOptimizer(), "3a1a1d6666663f25a4707d3f280035000000003800450ad7233c4800"),
        (BatchSoftmaxOptimizer(0.01), "7a05150ad7233c"),
        (MomentumOptimizer(), "4a0e1d0000000020002d6666663f3000"),
        (RmspropOptimizer(0.01), "5a0f150ad7233c1d00000000256666663f"),
        (AdaGradWithGroupLassoOptimizer(0.01, l2_regularization=0.5), "820111150ad7233c2d0000003f35000000003800"),
        (StochasticRoundingFloat16OptimizerWrapper(SgdOptimizer(0.01)), "1205150ad7233c2001"),
        (ZerosInitializer(), "0a00"),
        (RandomUniformInitializer(), "1200"),
        (RandomUniformInitializer(-0.5, 0.5), "120a15000000bf1d0000003f"),
        (ConstantsInitializer(1.0), "7a05150000803f"),
        (BatchSoftmaxInitializer(1.0), "7a05150000803f"),
        (OneBitCompressor(), "220810c8012dcdcc4c3d"),
        (Fp16Compressor(), "1200"),
        (Fp32Compressor(), "0a00"),
    ],
)
def test_bytes(config, expected):  # V3
    assert config.as_proto().SerializeToString().hex() == expected


def test_segment_and_table_bytes():  # V3, V1.10
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    segment = CombineAsSegment(5, ZerosInitializer(), SgdOptimizer(), Fp16Compressor())
    assert segment.SerializeToString().hex() == "0a020a00120212001a0212003805"
    by_proto = CombineAsSegment(5, ZerosInitializer().as_proto(), SgdOptimizer().as_proto(), Fp16Compressor().as_proto())
    assert by_proto == segment
    table = EmbeddingHashTableConfig()
    CuckooHashTableConfig().mutate_table(table)
    assert table.SerializeToString().hex() == "10012a00"
    CuckooHashTableConfig(7, feature_evict_every_n_hours=3).mutate_table(table)
    assert (table.initial_capacity, table.enable_feature_eviction, table.feature_evict_every_n_hours) == (7, True, 3)


def test_regularization_names():
    ftrl = FtrlOptimizer(l1_regularization=0.5, l2_regularization=0.25).as_proto().ftrl
    assert (ftrl.l1_regularization_strength, ftrl.l2_regularization_strength) == (0.5, 0.25)
    assert FTRLWithGroupSparsityOptimizer(0.5, l1_regularization=2).as_proto().group_ftrl.l1_regularization_strength == 2
    assert FixedR8Compressor(2.0).as_proto().fixed_r8.r == 2.0


def test_batch_softmax_interval():
    with pytest.raises(ValueError, match="at least 1"):
        BatchSoftmaxInitializer(0.5)


def instance(rates):
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    table = EmbeddingHashTableConfig()
    CuckooHashTableConfig().mutate_table(table)
    return HashTableConfigInstance(table, rates)


def test_identity_of_an_instance():
    class Decay:
        def __call__(self):
            return 0.5

        def __str__(self):
            return "Decay(1)"

    assert str(instance([0.1])) == str(instance([0.1]))
    assert str(instance([0.1])) != str(instance([Decay()]))
    assert str(instance([0.1, Decay()])) == "TableConfigPB: b'\\x10\\x01*\\x00', LearningRateFns: [0.1, Decay(1)]"
    assert instance([0.1, Decay()]).call_learning_rate_fns_fewer_ops() == [0.1, 0.5]
    with pytest.raises(ValueError):
        instance([]).call_learning_rate_fns_fewer_ops()
    names = ["a"]
    made = HashTableConfigInstance(instance([1]).table_config, [1], names)
    names.append("b")
    assert made.extra_restore_names == ["a"]
    assert made.learning_rate_tensor is None


def open_table(segment, entry_type=1, **fields):
    from monolith_cli._native import _core
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    table = EmbeddingHashTableConfig(**fields)
    table.entry_config.segments.append(segment)
    table.entry_config.entry_type = entry_type
    table.cuckoo.SetInParent()
    tables = _core.MultiTable("test_table_config", {"movie": table.SerializeToString()})
    tables.close()


def segment_proto(dim=2, init=None, opt=None, comp=None):
    """A segment of which only the given parts are set; `{}` sets a part without a choice."""
    from monolith_protos.embedding_hash_table_pb2 import EntryConfig

    segment = EntryConfig.Segment(dim_size=dim)
    for part, field in ((init, segment.init_config), (opt, segment.opt_config), (comp, segment.comp_config)):
        if part is not None:
            field.SetInParent()
            if part:
                field.CopyFrom(part.as_proto())
    return segment


TRAINING, SERVING = 1, 2


@pytest.mark.parametrize("entry_type", [TRAINING, SERVING])
@pytest.mark.parametrize("name", ["group_ftrl", "dynamic_wd_adagrad", "dc"])
def test_optimizers_that_the_core_has_not_are_refused_by_name(name, entry_type):  # V4.25
    from monolith_protos.embedding_hash_table_pb2 import OptimizerConfig

    optimizers = {"group_ftrl": FTRLWithGroupSparsityOptimizer(), "dynamic_wd_adagrad": DynamicWdAdagradOptimizer()}
    proto = optimizers[name].as_proto() if name in optimizers else OptimizerConfig(dc={"lambda_": 0.1})
    with pytest.raises(ConfigError, match=rf"table 'movie'.*\b{name}\b.*use adagrad"):
        open_table(CombineAsSegment(2, ZerosInitializer(), proto, Fp32Compressor()), entry_type)


PARTS = {"init_config": "init", "opt_config": "opt", "comp_config": "comp"}
WHOLE = {"init": ZerosInitializer(), "opt": SgdOptimizer(), "comp": Fp32Compressor()}


@pytest.mark.parametrize("entry_type", [TRAINING, SERVING])
@pytest.mark.parametrize("field", PARTS)
def test_a_part_without_a_choice_is_refused_in_every_table(field, entry_type):
    with pytest.raises(ConfigError, match=rf"table 'movie': {field}: no .* is chosen"):
        open_table(segment_proto(**{**WHOLE, PARTS[field]: {}}), entry_type)


@pytest.mark.parametrize("entry_type, needed", [(TRAINING, {"init_config", "opt_config"}), (SERVING, {"comp_config"})])
@pytest.mark.parametrize("field", PARTS)
def test_parts_a_segment_needs(field, entry_type, needed):
    segment = segment_proto(**{k: v for k, v in WHOLE.items() if k != PARTS[field]})
    if field not in needed:
        return open_table(segment, entry_type)
    with pytest.raises(ConfigError, match=f"table 'movie': a segment has no {field}"):
        open_table(segment, entry_type)


def test_an_unknown_entry_type():
    with pytest.raises(ConfigError, match="entry_type 0.*TRAINING or SERVING"):
        open_table(CombineAsSegment(2, ZerosInitializer(), SgdOptimizer(), Fp32Compressor()), 0)


@pytest.mark.parametrize(
    "optimizer, dims",
    [
        (AdadeltaOptimizer(), (1, 8, 17)),
        (AmsgradOptimizer(), (1, 8, 17)),
        (BatchSoftmaxOptimizer(), (1,)),
        (MomentumOptimizer(), (1, 8, 17)),
        (MovingAverageOptimizer(), (1, 8, 17)),
        (RmspropOptimizer(), (1, 8, 17)),
        (RmspropV2Optimizer(), (1, 8, 17)),
        (AdaGradWithGroupLassoOptimizer(), (1, 8, 17)),
    ],
)
def test_optimizers_of_the_core_are_taken(optimizer, dims):
    for dim in dims:
        open_table(CombineAsSegment(dim, ZerosInitializer(), optimizer, Fp32Compressor()))


def test_batch_softmax_has_one_weight():
    with pytest.raises(ConfigError, match="table 'movie'.*batch_softmax.*must be 1, not 2"):
        open_table(CombineAsSegment(2, ZerosInitializer(), BatchSoftmaxOptimizer(), Fp32Compressor()))


def test_other_refusals_say_what():
    good = (ZerosInitializer(), SgdOptimizer())
    open_table(CombineAsSegment(2, *good, Fp16Compressor()))
    with pytest.raises(ConfigError, match="dim_size 0"):
        open_table(CombineAsSegment(0, *good, Fp16Compressor()))
    with pytest.raises(ConfigError, match="minval"):
        open_table(CombineAsSegment(2, RandomUniformInitializer(1, -1), SgdOptimizer(), Fp16Compressor()))
    with pytest.raises(ConfigError, match="feature_evict_every_n_hours 0"):
        open_table(
            CombineAsSegment(2, *good, Fp16Compressor()), enable_feature_eviction=True, feature_evict_every_n_hours=0
        )
    with pytest.raises(ConfigError, match="skip_zero_embedding"):
        open_table(CombineAsSegment(2, *good, Fp16Compressor()), skip_zero_embedding=True)
    from monolith_cli._native import _core

    with pytest.raises(ConfigError, match="cuckoo"):
        _core.MultiTable("test_table_config", {"movie": b""})
    with pytest.raises(ConfigError, match="EmbeddingHashTableConfig"):
        _core.MultiTable("test_table_config", {"movie": b"\x0a\xff"})


@pytest.mark.parametrize("entry_type", [TRAINING, SERVING])
@pytest.mark.parametrize("optimizer", [SgdOptimizer(), StochasticRoundingFloat16OptimizerWrapper(SgdOptimizer())])
@pytest.mark.parametrize("compressor", [Fp32Compressor(), Fp16Compressor(), FixedR8Compressor(2.5), OneBitCompressor()])
def test_compressors_of_the_core_are_taken(compressor, optimizer, entry_type):
    open_table(CombineAsSegment(3, ZerosInitializer(), optimizer, compressor), entry_type)


@pytest.mark.parametrize(
    "compressor, message",
    [
        (FixedR8Compressor(0.0), "fixed_r8: r 0.000000 must be above 0"),
        (FixedR8Compressor(-1.0), "fixed_r8: r -1.000000 must be above 0"),
        (FixedR8Compressor(float("nan")), "fixed_r8: r .*nan must be above 0"),
        (OneBitCompressor(step_size=0), "one_bit: step_size 0 must be at least 1"),
        (OneBitCompressor(amplitude=float("inf")), "one_bit: .*amplitude must be finite"),
    ],
)
def test_compressors_that_cannot_work(compressor, message):
    with pytest.raises(ConfigError, match=f"table 'movie': compressor {message}"):
        open_table(CombineAsSegment(2, ZerosInitializer(), SgdOptimizer(), compressor))


def test_nothing_heavy_is_imported():
    code = "import sys, monolith_cli.tables.config; print([m for m in ('tensorflow','numpy','google.protobuf') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
