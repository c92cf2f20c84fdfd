"""Serialized records as an unusual but lawful writer makes them: pieces out of order, lists packed or not, singular fields
and sub-messages several times, unknown fields of every wire type, known numbers with another wire type.

What they mean is for protobuf's own classes to say.
"""

import struct

from hypothesis import strategies as st

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(v: int) -> bytes:
    v &= (1 << 64) - 1
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    return bytes(out) + bytes([v])


def field(number: int, wire: int, value) -> bytes:
    tag = varint(number << 3 | wire)
    if wire == VARINT:
        return tag + varint(value)
    if wire == FIXED64:
        return tag + struct.pack("<Q", value & (1 << 64) - 1)
    if wire == FIXED32:
        return tag + struct.pack("<I", value)
    return tag + varint(len(value)) + value


def float_bits(v: float) -> int:
    return struct.unpack("<I", struct.pack("<f", v))[0]


small = st.sampled_from([0, 1, 2, 3, 5, 7, 20, -1, -2, 1622667900])
int64s = small | st.integers(-(1 << 63), (1 << 63) - 1)
uint64s = st.sampled_from([0, 1, 2, 3, (1 << 64) - 1, 1 << 63]) | st.integers(0, (1 << 64) - 1)
floats = st.sampled_from([0.0, 1.0, 0.5, 0.1, 2.0, -1.0, float("inf"), float("nan"), -3.4028234663852886e38])
texts = st.sampled_from(["", "a", "ab", "abc", "hello", "hello1", "hell", "ü", "zz"])
slots = st.sampled_from([0, 1, 2, 3, 511, 1023])
v1_fids = st.builds(lambda slot, sig: slot << 54 | sig, slots, st.integers(0, 3))
v2_fids = st.builds(lambda slot, sig: slot << 48 | sig, slots | st.sampled_from([1024, 32767]), st.integers(0, 3))

unknown = st.one_of(
    st.builds(lambda n, v: field(n, VARINT, v), st.sampled_from([1, 55, 300, 70000]), uint64s),
    st.builds(lambda n, v: field(n, FIXED64, v), st.sampled_from([55, 300]), uint64s),
    st.builds(lambda n, v: field(n, FIXED32, v), st.sampled_from([55, 300]), st.integers(0, 9)),
    st.builds(lambda n, v: field(n, BYTES, v), st.sampled_from([1, 55, 300]), st.binary(max_size=3)),
    st.just(varint(55 << 3 | 3) + field(1, VARINT, 7) + varint(55 << 3 | 4)),
    # numbers of LineId with a wire type that is not theirs
    st.builds(lambda n, v: field(n, FIXED32, v), st.sampled_from([2, 3, 6, 19, 49]), st.integers(0, 9)),
    st.builds(lambda n, v: field(n, VARINT, v), st.sampled_from([2, 4, 27, 49]), st.integers(0, 9)),
)


def repeated_varints(number: int, values) -> st.SearchStrategy[bytes]:
    packed = st.lists(values, max_size=3).map(lambda vs: field(number, BYTES, b"".join(map(varint, vs))))
    return packed | values.map(lambda v: field(number, VARINT, v))


def repeated_fixed64(number: int, values) -> st.SearchStrategy[bytes]:
    packed = st.lists(values, max_size=6).map(lambda vs: field(number, BYTES, struct.pack(f"<{len(vs)}Q", *vs)))
    return packed | values.map(lambda v: field(number, FIXED64, v))


def repeated_floats(number: int) -> st.SearchStrategy[bytes]:
    packed = st.lists(floats, max_size=3).map(lambda vs: field(number, BYTES, struct.pack(f"<{len(vs)}f", *vs)))
    return packed | floats.map(lambda v: field(number, FIXED32, float_bits(v)))


def pieces(*kinds, max_size=8) -> st.SearchStrategy[bytes]:
    return st.lists(st.one_of(*kinds), max_size=max_size).map(b"".join)


line_id = pieces(
    *(uint64s.map(lambda v, n=n: field(n, FIXED64, v)) for n in (2, 4)),
    *(int64s.map(lambda v, n=n: field(n, VARINT, v)) for n in (3, 19)),
    *(repeated_varints(n, small) for n in (6, 23, 39)),
    floats.map(lambda v: field(27, FIXED32, float_bits(v))),
    *(texts.map(lambda v, n=n: field(n, BYTES, v.encode())) for n in (41, 48, 49, 235)),
    st.sampled_from([0, 1, 2]).map(lambda v: field(87, VARINT, v)),
    (small | st.just((1 << 32) - 2)).map(lambda v: field(145, VARINT, v)),
    unknown)

quantised = st.sampled_from([b"", b"\x00", b"\x00\x3c", b"\x00\x3c\x00\xc0", b"\x00\x7c\x01\x00", b"\x2e\x66\x45\x1a\x33\x00\x99\xff\x6b"])
# Most fields set, to values that conditions ask for.
filled_line_id = st.tuples(
    *(st.sampled_from([0, 1, 2, 3, (1 << 64) - 1]).map(lambda v, n=n: field(n, FIXED64, v)) for n in (2, 4)),
    *(small.map(lambda v, n=n: field(n, VARINT, v)) for n in (3, 19, 145)),
    *(repeated_varints(n, st.sampled_from([1, 2, 3])) for n in (6, 6, 23, 23, 39, 39)),
    floats.map(lambda v: field(27, FIXED32, float_bits(v))),
    *(texts.map(lambda v, n=n: field(n, BYTES, v.encode())) for n in (41, 48, 49, 235)),
).map(b"".join)
column = pieces(repeated_varints(4, int64s), st.sampled_from([b"", b"x"]).map(lambda v: field(5, BYTES, v)),
                quantised.map(lambda v: field(5, BYTES, b"UE_QTZ" + v)),
                texts.map(lambda v: field(1, BYTES, v.encode())), repeated_fixed64(2, v2_fids), repeated_floats(3),
                repeated_fixed64(1, v2_fids).map(lambda v: field(6, BYTES, v)), max_size=5)
quantised_column = st.builds(lambda name, bytes_value: field(1, BYTES, name) + field(5, BYTES, b"UE_QTZ" + bytes_value),
                             st.sampled_from([b"hell", b"abc", b"hello1"]), quantised)
instance = pieces(
    quantised_column.map(lambda v: field(9, BYTES, v)), filled_line_id.map(lambda v: field(5, BYTES, v)),
    repeated_fixed64(1, v1_fids), repeated_fixed64(1, v1_fids), line_id.map(lambda v: field(5, BYTES, v)),
    line_id.map(lambda v: field(5, BYTES, v)), repeated_floats(3), floats.map(lambda v: field(4, FIXED32, float_bits(v))),
    column.map(lambda v: field(9, BYTES, v)), unknown.filter(lambda b: b[0] >> 3 not in (1, 2, 3, 4, 6)), max_size=7)

# Members of the Feature oneof; 1 and 2 hold fids.
feature = pieces(
    repeated_fixed64(1, v1_fids).map(lambda v: field(1, BYTES, v)), repeated_fixed64(1, v2_fids).map(lambda v: field(2, BYTES, v)),
    repeated_floats(1).map(lambda v: field(3, BYTES, v)), repeated_fixed64(1, st.just(0x3FE0000000000000)).map(lambda v: field(4, BYTES, v)),
    repeated_varints(1, int64s).map(lambda v: field(5, BYTES, v)), line_id.map(lambda v: field(6, BYTES, field(1, BYTES, v))),
    repeated_fixed64(1, v2_fids).map(lambda v: field(7, BYTES, field(1, BYTES, v))), st.just(field(12, VARINT, 4)), max_size=2)
names = st.sampled_from([b"a", b"b", b"__LABEL__", b"instance_weight", b"__LABEL_", b"i"])
named_feature = st.lists(st.one_of(names.map(lambda v: field(1, BYTES, v)), feature.map(lambda v: field(2, BYTES, v)),
                                   st.just(field(3, VARINT, 9))), max_size=4).map(b"".join)
named_line_id = line_id.map(lambda v: field(1, BYTES, b"__LINE_ID__") + field(2, BYTES, field(6, BYTES, field(1, BYTES, v))))
example = pieces(
    named_feature.map(lambda v: field(1, BYTES, v)), named_feature.map(lambda v: field(1, BYTES, v)),
    named_line_id.map(lambda v: field(1, BYTES, v)), filled_line_id.map(lambda v: field(100, BYTES, v)), line_id.map(lambda v: field(100, BYTES, v)),
    line_id.map(lambda v: field(100, BYTES, v)), repeated_floats(101),
    floats.map(lambda v: field(102, FIXED32, float_bits(v))), unknown.filter(lambda b: b[0] >> 3 not in (1, 2)), max_size=7)
