"""Params, NestedMap and the registry of models: the rules of the specification's 40, section 4."""

import copy
import enum
import sys

import pytest
from layer_graph import tf

from monolith_cli.model.nested_map import NestedMap
from monolith_cli.model.params import InstantiableParams, Params, copy_params_to, with_params
from monolith_cli.model.registry import Registry, SingleTaskModelParams


def params(**values):
    p = Params()
    for name, value in values.items():
        p.define(name, value, f"the {name}")
    return p


class Color(enum.Enum):
    RED = 1


def test_define():
    p = params(a=1)
    for wrong in ("", "A", "a b", "1a", "a-b", None, 3):
        with pytest.raises(AssertionError):
            p.define(wrong, 1, "")
    with pytest.raises(AttributeError, match="a is already defined"):
        p.define("a", 2, "")
    assert p.a == 1 and p.doc("a") == "the a" and "a" in p and len(p) == 1 and "a" in dir(p)


def test_dotted_names():
    p = params(a=params(b=[params(c=1), params(c=2)]), d={"e": 1})
    assert p.get("a.b[1].c") == 2 and p.contains("a.b[0]") and not p.contains("a.x") and not p.contains("a.b[7]")
    p.set(**{"a.b[1].c": 5, "d": 3})
    assert p.a.b[1].c == 5 and p.d == 3
    p.set(**{"a.b[0]": 4})
    assert p.a.b[0] == 4
    p.delete("a.b").delete("d")
    assert [n for n, _ in p.iter_params()] == ["a"] and len(p.a) == 0


def test_names_that_are_not_there():
    p = params(activation=1, activations=2, sub=params(width=3), d={"x": 1})
    for act in (
        lambda: p.get("actuvation"),
        lambda: p.actuvation,
        lambda: p.set(actuvation=1),
        lambda: p.delete("actuvation"),
    ):
        with pytest.raises(AttributeError) as e:
            act()
        assert str(e.value) == "actuvation (did you mean: [activation,activations])"
    with pytest.raises(AttributeError) as e:
        p.get("sub.widht")
    assert str(e.value) == "sub.widht", "one of its two pieces is no more than half"
    with pytest.raises(AttributeError) as e:
        p.set(**{"nothing.x": 1})
    assert str(e.value) == "nothing"
    with pytest.raises(AttributeError) as e:
        p.sub.wid
    assert str(e.value) == "wid", "three characters match nothing"
    with pytest.raises(AssertionError, match="^Cannot introspect"):
        p.get("d.x")


def test_frozen():
    p = params(a=1, sub=params(b=1))
    p.freeze()
    for act in (lambda: p.set(a=2), lambda: p.delete("a"), lambda: p.define("c", 1, ""), lambda: setattr(p, "a", 2)):
        with pytest.raises(TypeError, match="frozen"):
            act()
    with pytest.raises(AttributeError):
        p.get("c")
    p.sub.b = 2
    again = p.copy()
    assert again.is_frozen and again == p and again.sub.b == 2
    again.sub.b = 3
    assert p.sub.b == 2, "nested Params are copied"


def test_copies_share_tensors():
    t = tf.constant([1.0])
    p = params(t=t, nested=[params(x=1)], d={"k": params(y=1)})
    for other in (p.copy(), copy.deepcopy(p), copy.copy(p)):
        assert other.t is t and other == p
        other.nested[0].x = 2
        other.d["k"].y = 2
        assert p.nested[0].x == 1 and p.d["k"].y == 1 and other != p
    q = params(t=None, nested=None, d=0, more=1)
    copy_params_to(p, q, skip=["d"])
    assert q.t is t and q.d == 0 and q.more == 1


def test_equality():
    assert params(a=1, b=params(c=[1])) == params(b=params(c=[1]), a=1)
    assert params(a=1) != params(a=2) and params(a=1) != params(b=1) and params() != {} and params(a=1) != 1


def test_text():
    p = params(
        name="x", b=[1, "s", params(z=1, y="q")], a=params(inner=None), color=Color.RED, d={"k": Color.RED}, one=(1,)
    )
    assert str(p) == (
        "{\n  a: {\n    inner: None\n  }\n  b: [1, 's', {'y': 'q', 'z': 1}]\n  color: Color.RED\n  d: {'k': Color.RED}\n"
        '  name: "x"\n  one: (1,)\n}')  # fmt: skip
    assert str(Params()) == "{\n\n}"


@with_params
class Widget:
    def __init__(self, width, depth=2, **kwargs):
        self.width, self.depth, self.more = width, depth, kwargs


@with_params
class Wide(Widget):
    def __init__(self, width=7, tags=("a",), name="n"):
        super().__init__(width)
        self.tags, self.name = tags, name


class OfParams:
    @classmethod
    def params(cls):
        p = InstantiableParams(cls)
        p.define("size", 3, "")
        return p

    def __init__(self, params):
        self.p = params


def test_params_of_a_constructor():
    p = Widget.params()
    assert (p.cls, p.name, p.width, p.depth, p.trainable) == (Widget, "Widget", None, 2, None)
    widget = p.set(width=1, input_shape=(3,)).instantiate()
    assert (widget.width, widget.depth, widget.more) == (1, 2, {"input_shape": (3,), "name": "Widget"})
    p = Wide.params()
    assert (p.width, p.depth, p.tags) == (7, 2, ("a",)), "a derived default replaces an inherited one"
    assert p.instantiate(width=9).width == 9 and p.width == 7
    made = OfParams.params().set(size=4).instantiate()
    assert made.p.size == 4
    with pytest.raises(TypeError, match="cls is not set"):
        InstantiableParams().instantiate()


# --- NestedMap ----------------------------------------------------------------------------------------------------------------


def nested():
    return NestedMap(b=NestedMap(y=2, x=[3, NestedMap(z=4)]), a=1)


def test_nested_map_keys():
    m = NestedMap(a=1)
    for wrong, error in ((3, AssertionError), ("keys", AssertionError), ("1a", ValueError), ("", ValueError)):
        with pytest.raises(error):
            m[wrong] = 1
    m["a-b"] = 2  # only the beginning is looked at
    m.c = 3
    assert m.c == m["c"] == 3
    with pytest.raises(AttributeError, match=r"nope.*\['a', 'a-b', 'c'\]"):
        m.nope
    del m.c
    with pytest.raises(AttributeError):
        del m.c
    assert m.setdefault("d", 5) == 5 and m.copy() == m and type(m.copy()) is NestedMap


def test_nested_map_leaves():
    m = nested()
    assert m.Flatten() == [1, 3, 4, 2]
    assert m.FlattenItems() == [("a", 1), ("b.x[0]", 3), ("b.x[1].z", 4), ("b.y", 2)]
    packed = m.Pack([10, 30, 40, 20])
    assert packed == {"a": 10, "b": {"y": 20, "x": [30, {"z": 40}]}} and isinstance(packed.b.x[1], NestedMap)
    for wrong in ([1, 2, 3], [1, 2, 3, 4, 5]):
        with pytest.raises(ValueError, match="4 leaves"):
            m.Pack(wrong)
    assert m.Transform(lambda v: -v).b.x == [-3, {"z": -4}]
    assert m.Filter(lambda v: v == 4) == {"b": {"x": [{"z": 4}]}}
    assert m.FilterKeyVal(lambda k, v: k.startswith("b.x[0")) == {"b": {"x": [3]}} and m.Filter(lambda v: False) == {}
    assert NestedMap(n=None, o=1).Filter(lambda v: v is None) == {"n": None}, "None is a leaf"
    assert NestedMap(t=(1, 2), d={"k": 1}).Flatten() == [{"k": 1}, (1, 2)], "tuples and plain dicts are leaves"


def test_nested_map_dotted_names():
    m = nested()
    assert m.GetItem("b.x[1].z") == 4 and m.Get("b.nope", 9) == 9 and m.Get("b.x[5]") is None and m.Get("a.b") is None
    m.Set("n.k.v", 1)
    assert m.n.k == {"v": 1} and isinstance(m.n, NestedMap)
    with pytest.raises(ValueError, match="'a' is a int"):
        m.Set("a.x", 1)
    with pytest.raises(KeyError):
        m.GetItem("b.nope")


def test_nested_map_structure():
    m = nested()
    assert (
        m.IsCompatible(m.Transform(str))
        and not m.IsCompatible(NestedMap(a=1))
        and not m.IsCompatible(NestedMap(a=1, b=2))
    )
    made = NestedMap.FromNestedDict({"a": [{"b": 1}], "t": ({"c": 2},)})
    assert isinstance(made.a[0], NestedMap) and made.t[0].c == 2
    leaf = object()
    m = NestedMap(x=[leaf])
    other = copy.deepcopy(m)
    assert other.x is not m.x and other.x[0] is leaf


# --- registry -----------------------------------------------------------------------------------------------------------------


def make(module="monolith.tasks.movies.params.small", name="Small"):
    return type(name, (SingleTaskModelParams,), {"__module__": module, "task": lambda self: params(of=name)})


def test_registry():
    registry = Registry()
    small = registry.register(make())
    assert registry.keys(small) == ["monolith.tasks.movies.params.small.Small", "movies.small.Small"]
    assert (
        registry.get_class("movies.small.Small")
        is small
        is registry.get_class("monolith.tasks.movies.params.small.Small")
    )
    assert registry.get_params("movies.small.Small").of == "Small"
    plain = registry.register(make("plain"))
    assert registry.keys(plain) == ["plain.Small"]
    with pytest.raises(ValueError, match="movies"):
        registry.register(make())
    for wrong in (dict, 3):
        with pytest.raises(TypeError, match="SingleTaskModelParams"):
            registry.register(wrong)
    with pytest.raises(LookupError, match="movies.small.Small, plain.Small"):
        registry.get_class("nope.Nope")
    with pytest.raises(NotImplementedError, match="task"):
        SingleTaskModelParams().task()


def test_registry_imports_what_a_name_says(tmp_path, monkeypatch):
    registry = Registry()
    monkeypatch.setattr("monolith_cli.model.registry.register_single_task_model", registry.register)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "clicks.py").write_text(
        "from monolith_cli.model import registry\nfrom monolith_cli.model.params import Params\n"
        "@registry.register_single_task_model\nclass Big(registry.SingleTaskModelParams):\n    def task(self):\n        return Params()\n"
    )
    (tmp_path / "shop" / "broken.py").write_text("import there_is_no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.get_params("shop.clicks.Big") == Params()
    with pytest.raises(ValueError, match="MODULE.CLASS"):
        registry.get_params("Big")
    with pytest.raises(LookupError, match="none of the modules no.such"):
        registry.get_params("no.such.Thing")
    with pytest.raises(LookupError, match="shop.clicks.Small"):
        registry.get_params("shop.clicks.Small")
    with pytest.raises(ModuleNotFoundError, match="there_is_no_such_module"):
        registry.get_params("shop.broken.Thing")
    sys.modules.pop("shop.clicks", None)
