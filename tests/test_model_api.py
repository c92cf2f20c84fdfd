"""The interface of model files: columns, slices, heads, schedules. What can be seen without training."""

import math

import pytest

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1

from monolith_cli.model import (  # noqa: E402
    AdagradOptimizer,
    BatchSoftmaxOptimizer,
    ConstantsInitializer,
    CuckooHashTableConfig,
    EstimatorSpec,
    FeatureSlotConfig,
    FirstN,
    FixedR8Compressor,
    ModelError,
    MonolithModel,
    OneBitCompressor,
    PolynomialDecay,
    ReduceMean,
    SgdOptimizer,
    StochasticRoundingFloat16OptimizerWrapper,
)
from monolith_cli.model.feature import switch_slot  # noqa: E402
from monolith_cli.model.model import ClipType  # noqa: E402
from monolith_cli.model.spec import normalize  # noqa: E402
from monolith_cli.training import plan  # noqa: E402
from monolith_cli.training.gradients import Clipping, clip_gradients  # noqa: E402


def ragged(*rows):
    return tf.ragged.constant(rows, dtype=tf.int64)


def evaluate(*tensors):
    with tf1.Session(graph=tf1.get_default_graph()) as session:
        return session.run(list(tensors))


@pytest.fixture
def model():
    """A model that is inside the collecting run of model_fn, on the features a, b, c, slot_7 and the dense one d."""
    with tf1.Graph().as_default():
        model = MonolithModel()
        names = ["a", "b", "c", "slot_7", "fc_slot_9"]
        model._factory.begin_collect({**{n: ragged([1], []) for n in names}, "d": tf.zeros([2, 3])})
        yield model


class TestColumns:
    def test_names_and_slots(self, model):
        create = model.create_embedding_feature_column
        assert create("a").feature_slot.config.slot_id is None
        assert create("slot_7").feature_slot.config.slot_id == 7
        assert create(7).feature_name == "slot_7"
        assert create(9).feature_name == "fc_slot_9"
        assert create(8).feature_name == "fc_slot_8"
        assert create("fc_slot_x").feature_slot.config.slot_id is None

    def test_second_call_returns_the_first_column(self, model):
        first = model.create_embedding_feature_column("a", combiner="reduce_mean")
        assert model.create_embedding_feature_column("a", combiner="reduce_sum") is first
        assert isinstance(first.combiner, ReduceMean)

    def test_combiners(self, model):
        create = model.create_embedding_feature_column
        assert repr(create("a", max_seq_length=4).combiner) == "FirstN(4)"
        assert repr(create("b", max_seq_length=3, combiner="first_n").combiner) == "FirstN(3)"
        assert create("c", combiner=FirstN(2)).combiner.output_shape(6) == (None, 2, 6)
        with pytest.raises(ModelError, match="unknown combiner 'max'"):
            create("slot_7", combiner="max")
        with pytest.raises(ModelError, match="max_seq_length > 0"):
            create("fc_slot_9", combiner="first_n")

    def test_sharing(self, model):
        a = model.create_embedding_feature_column("a")
        b = model.create_embedding_feature_column("b", shared_name="a")
        assert b.feature_slot is a.feature_slot
        model.lookup_embedding_slice(["a", "b"], "vec", 4)
        assert a.feature_slot.slice_dims == [4]
        c = model.create_embedding_feature_column("c", shared_name="common")
        assert c.feature_slot.name == "common"
        with pytest.raises(ModelError, match="before those that share it"):
            model.create_embedding_feature_column("common")

    def test_unknown_and_dense_features(self, model):
        with pytest.raises(ModelError, match="unknown feature 'aa'.*did you mean 'a'"):
            model.lookup_embedding_slice(["aa"], "vec", 4)
        with pytest.raises(ModelError, match="feature 'd' is dense"):
            model.lookup_embedding_slice(["d"], "vec", 4)

    def test_column_without_slice(self, model):
        model.create_embedding_feature_column("a")
        with pytest.raises(ModelError, match="column 'a' has no slice"):
            model._factory.end_collect()

    def test_size_tensor(self, model):
        model._factory.begin_collect({"a": ragged([5, 6, 7], [], [1])})
        column = model.create_embedding_feature_column("a", max_seq_length=2)
        assert evaluate(column.get_size_tensor())[0].tolist() == [[1, 1], [0, 0], [1, 0]]


class TestLookups:
    @pytest.mark.parametrize(
        "features, dim, shapes",
        [
            (["a", "b"], 4, [4, 4]),
            ([("a", 2), ("b", 3)], None, [2, 3]),
            ({"b": 5, "a": 1}, None, [5, 1]),
            ([[7], [9, 7]], 3, [3, 3]),
            ([7, "a"], 2, [2, 2]),
        ],
    )
    def test_forms(self, model, features, dim, shapes):
        out = model.lookup_embedding_slice(features, "vec", dim)
        assert [t.shape.as_list() for t in out] == [[None, n] for n in shapes]

    def test_groups_and_out_types(self, model):
        look = model.lookup_embedding_slice
        assert look([[7, 9]], "g", 3, group_out_type="concat")[0].shape.as_list() == [None, 6]
        assert look(["a", "b"], "vec", 4, out_type="concat").shape.as_list() == [None, 8]
        assert look(["a", "b"], "vec", 4, out_type="stack").shape.as_list() == [None, 2, 4]
        assert look(["a", "b"], "vec", 4, out_type="addn").shape.as_list() == [None, 4]
        with pytest.raises(ModelError, match="unknown out_type 'mean'"):
            look(["a", "b"], "vec", 4, out_type="mean")

    @pytest.mark.parametrize("features, dim", [("a", 4), (["a"], None), ({"a": 1}, 4), ([], 4), ([("a", "b")], None)])
    def test_other_forms_are_refused(self, model, features, dim):
        with pytest.raises(ValueError, match="lookup_embedding_slice takes"):
            model.lookup_embedding_slice(features, "vec", dim)

    def test_a_slice_is_made_once(self, model):
        (first,) = model.lookup_embedding_slice(["a"], "vec", 4)
        (again,) = model.lookup_embedding_slice(["a"], "vec", 4)
        assert again is first
        model.lookup_embedding_slice(["a"], "bias", 1)
        assert model._factory.slots["a"].slice_dims == [4, 1]

    def test_layout_name_does_not_depend_on_how_features_are_given(self, model):
        column = model.create_embedding_feature_column("a")
        assert model.layout_name([column, "b"], "vec") == model.layout_name(["b", "a"], "vec")


def test_adjacent_equal_slices_become_one_segment(model):
    slot = model.create_embedding_feature_column("a").feature_slot
    schedule = lambda: PolynomialDecay(0.1, 10)  # noqa: E731
    sgd = SgdOptimizer(learning_rate=0.5)
    slot.add_feature_slice(5, optimizer=AdagradOptimizer(learning_rate=0.1, warmup_steps=10))
    slot.add_feature_slice(2, optimizer=sgd, learning_rate_fn=schedule())
    slot.add_feature_slice(2, optimizer=sgd, learning_rate_fn=schedule())
    slot.add_feature_slice(2, optimizer=sgd)
    segments, rates = plan.merged_segments(slot)
    assert [s.dim_size for s in segments] == [5, 4, 2]
    assert slot.slice_dims == [5, 2, 2, 2]
    assert str(rates[0]) == str(PolynomialDecay(0.0, 10, rates[0].end_learning_rate))
    assert rates[0].end_learning_rate == pytest.approx(0.1)
    assert rates[2] == 0.5


def test_slices_of_batch_softmax_stay_apart(model):
    slot = model.create_embedding_feature_column("a").feature_slot
    for _ in range(2):
        slot.add_feature_slice(1, optimizer=BatchSoftmaxOptimizer())
    assert [s.dim_size for s in plan.merged_segments(slot)[0]] == [1, 1]


def test_tables_by_feature_slot_and_slice(model):
    """A slice says what it is made of; what it leaves out comes from the config of its slot, and that from the library's."""
    rounded = StochasticRoundingFloat16OptimizerWrapper(SgdOptimizer(0.5))
    own = FeatureSlotConfig(
        has_bias=True,
        default_vec_initializer=ConstantsInitializer(2.0),
        default_vec_optimizer=rounded,
        default_vec_compressor=FixedR8Compressor(3.0),
        hashtable_config=CuckooHashTableConfig(initial_capacity=99, feature_evict_every_n_hours=5),
        expire_time=7,
    )
    a = model.create_embedding_feature_column("a", slot_config=own).feature_slot
    b = model.create_embedding_feature_column("b", expire_time=3, slot_config=own).feature_slot
    c = model.create_embedding_feature_column("c").feature_slot
    a.add_feature_slice(4)
    a.add_feature_slice(2, optimizer=AdagradOptimizer(), compressor=OneBitCompressor())
    b.add_feature_slice(4)
    c.add_feature_slice(4, compressor=OneBitCompressor(7))
    configs = {name: t.table_config for name, t in plan.table_configs(model._factory).items()}
    bias, vec, other = configs["a"].entry_config.segments
    assert (bias.dim_size, bias.opt_config.WhichOneof("type")) == (1, "ftrl")
    assert (vec.init_config.constants.constant, vec.comp_config.fixed_r8.r) == (2, 3)
    assert vec.opt_config == rounded.as_proto()
    assert (other.init_config, other.opt_config.WhichOneof("type")) == (vec.init_config, "adagrad")
    assert other.comp_config.WhichOneof("type") == "one_bit"
    assert (configs["a"].initial_capacity, configs["a"].feature_evict_every_n_hours) == (99, 5)
    assert [slot.config.expire_time for slot in (a, b)] == [7, 3]
    (plain,) = configs["c"].entry_config.segments
    assert (plain.init_config.WhichOneof("type"), plain.opt_config.WhichOneof("type")) == ("random_uniform", "adagrad")
    assert (plain.comp_config.one_bit.step_size, configs["c"].initial_capacity) == (7, 1)
    with pytest.raises(ModelError, match="column 'slot_7' shares the table of 'a'"):
        model.create_embedding_feature_column("slot_7", shared_name="a", slot_config=own)


def test_a_rate_of_zero_is_a_rate(model):
    slot = model.create_embedding_feature_column("a").feature_slot
    s = slot.add_feature_slice(1, optimizer=SgdOptimizer(learning_rate=0.5), learning_rate_fn=0.0)
    assert plan.segment_of(s)[1] == 0.0


@pytest.mark.parametrize(
    "args, step, rate",
    [
        ((0.01, 10, 0.11), 1, 0.02),
        ((0.01, 10, 0.11), 2, 0.03),
        ((1.0, 10, 2.0), 1, 1.1),
        ((0.1, 100), 50, 0.05005),
        ((0.1, 100), 250, 0.0001),
        ((0.1, 100, 0.0001, 2.0), 50, 0.025075),
        ((0.0, 1000, 0.02), 250, 0.005),
        ((1.0, 10, 0.0, 1.0, True), 15, 0.25),
    ],
)
def test_polynomial_decay(args, step, rate):
    with tf1.Graph().as_default():
        global_step = tf1.train.get_or_create_global_step()
        value = PolynomialDecay(*args)()
        with tf1.Session() as session:
            session.run(global_step.assign(step))
            assert session.run(value) == pytest.approx(rate, rel=1e-5)


def test_schedule_prints_its_parameters():
    assert str(PolynomialDecay(1.0, 10, end_learning_rate=2.0)) == (
        'LearningRateFunction("PolynomialDecay",Params:cycle=False,decay_steps=10,end_learning_rate=2.0,'
        "initial_learning_rate=1.0,name=None,power=1.0)"
    )


class TestClipping:
    A, B = [-3.0, 0.0, 0.0], [4.0, 0.0, 0.0]

    def clip(self, step=0, **fields):
        with tf1.Graph().as_default():
            dense, sparse = clip_gradients([tf.constant(self.A)], [tf.constant(self.B)], Clipping(**fields), step)
            (a, b) = evaluate(dense[0], sparse[0])
            return a[0], b[0]

    def test_global_norm(self):
        assert self.clip(clip_norm=4.0) == pytest.approx((-2.4, 3.2))
        assert self.clip(clip_norm=5.0) == pytest.approx((-3.0, 4.0))

    def test_other_types(self):
        assert self.clip(clip_type=ClipType.ClipByValue, clip_norm=2.0) == pytest.approx((-2.0, 2.0))
        assert self.clip(clip_type=ClipType.ClipByNorm, clip_norm=2.0) == pytest.approx((-2.0, 2.0))
        assert self.clip(clip_type=ClipType.NoClip, clip_norm=2.0) == pytest.approx((-3.0, 4.0))
        assert self.clip(clip_type=ClipType.ClipByDenseAndSparse, clip_norm=None, sparse_clip_norm=1.0) == pytest.approx((-3, 1))

    def test_sparse_warm_up(self):
        fields = dict(clip_norm=100.0, sparse_clip_norm=10.0, sparse_norm_warmup_steps=100)
        assert self.clip(step=25, **fields) == pytest.approx((-3.0, 4.0 * 2.5 / 5))
        assert self.clip(step=0, **fields) == pytest.approx((-3.0, 0.0))
        assert self.clip(step=200, **fields) == pytest.approx((-3.0, 4.0))


class TestHeads:
    def test_sigmoid(self):
        with tf1.Graph().as_default():
            model = MonolithModel()
            z, y = tf.constant([[0.5], [-1.0], [2.0]]), tf.constant([[1.0], [0.0], [0.0]])
            loss, pred = model.get_sigmoid_loss_and_pred(
                "h", z, y, sample_rate=0.5, instance_weight=[1.0, 2.0, 3.0], mask=[True, True, False], mode="train"
            )
            none, also_pred = model.get_sigmoid_loss_and_pred("p", z, y, mode="predict")
            loss, pred, also_pred = evaluate(loss, pred, also_pred)
        sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
        shift = math.log(0.5)
        want = -math.log(sigmoid(0.5 - shift)) - 2 * math.log(1 - sigmoid(-1.0 - shift))
        assert loss == pytest.approx(want, rel=1e-5)
        assert pred.tolist() == pytest.approx([sigmoid(0.5), sigmoid(-1.0), sigmoid(2.0)], rel=1e-5)
        assert none is None and also_pred.tolist() == pred.tolist()

    def test_sigmoid_clips_the_corrected_logit(self):
        with tf1.Graph().as_default():
            loss, pred = MonolithModel().get_sigmoid_loss_and_pred("h", [10.0], [0.0], logit_clip_threshold=0.2, mode="train")
            loss, pred = evaluate(loss, pred)
        assert loss == pytest.approx(-math.log(0.2), rel=1e-5)
        assert pred[0] > 0.99

    def test_softmax(self):
        with tf1.Graph().as_default():
            loss, pred = MonolithModel().get_softmax_loss_and_pred("h", [[0.0, 3.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]], mode="train")
            loss, pred = evaluate(loss, pred)
        assert pred.tolist() == [1, 0]
        assert loss.tolist() == pytest.approx([math.log(1 + math.exp(-3)), math.log(1 + math.e)], rel=1e-5)


class TestSpecs:
    def test_single_head(self):
        result = normalize(EstimatorSpec("l", "p", "rank", loss=1.0, classification=False), "pred")
        assert [(h.name, h.label, h.pred, h.classification) for h in result.heads] == [("rank", "l", "p", False)]
        assert normalize(EstimatorSpec("l", "p"), "pred").heads[0].name == "pred"
        assert normalize(EstimatorSpec("l", "p", ["only"]), "pred").heads[0].name == "only"

    def test_several_heads(self):
        result = normalize(EstimatorSpec(["l1", "l2"], ["p1", "p2"], ["a", "b"], classification=[True, False]), "pred")
        assert [(h.name, h.label, h.classification) for h in result.heads] == [("a", "l1", True), ("b", "l2", False)]
        result = normalize(EstimatorSpec({"b": "lb", "a": "la"}, {"a": "pa", "b": "pb"}), "pred")
        assert [(h.name, h.label, h.pred) for h in result.heads] == [("a", "la", "pa"), ("b", "lb", "pb")]

    def test_tuple_is_label_loss_pred(self):
        result = normalize(("l", "loss", "p"), "ctr", default_optimizer="o")
        assert (result.heads[0].label, result.loss, result.heads[0].pred, result.optimizer) == ("l", "loss", "p", "o")
        result = normalize((["l1", "l2"], "loss", ["p1", "p2"]), "a, b")
        assert [h.name for h in result.heads] == ["a", "b"]

    @pytest.mark.parametrize(
        "result, message",
        [
            (None, "must return an EstimatorSpec"),
            (("l", "p"), "must return an EstimatorSpec"),
            (EstimatorSpec("l", None), "no pred"),
            (EstimatorSpec(["l"], ["p", "q"], ["a", "b"]), "2 pred but 1 label"),
            (EstimatorSpec("l", "p", ["a", "b"]), "one pred but 2 head names"),
            (EstimatorSpec("l", {"a": "p"}), "label must be a dict"),
            (EstimatorSpec(["l", "m"], ["p", "q"], ["a", "a"]), "same head_name twice"),
        ],
    )
    def test_what_does_not_fit(self, result, message):
        with pytest.raises(ModelError, match=message):
            normalize(result, "pred")


def test_switch_slot_and_share_slot():
    with tf1.Graph().as_default():
        fid = (5 << 48) | 123
        batch = {"x": ragged([fid], []), "y": ragged([], [fid])}
        shared = MonolithModel().share_slot(batch, {"x": (False, 9), "y": (True, 8)})
        x, new, y = evaluate(shared["x"], shared["x_share"], shared["y"])
        assert x.values.tolist() == [fid]
        assert new.values.tolist() == [(9 << 48) | 123]
        assert y.values.tolist() == [(8 << 48) | 123]
        with pytest.raises(ModelError, match="slot 40000"):
            switch_slot(batch["x"], 40000)


def test_extra_outputs_are_named_once():
    model = MonolithModel()
    model.add_extra_output("emb", {"x": 1})
    with pytest.raises(ModelError, match="'emb' exists already"):
        model.add_extra_output("emb", {})
