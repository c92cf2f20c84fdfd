"""Random serialized messages in every encoding a parser must accept: packed and not, singular fields that stand twice, members
of a oneof one after the other, unknown fields, fields with the wrong wire type, numbers with more bytes than they need."""

import struct

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FLOATS = [0.0, -0.0, 1.0, -2.5, 3.4028234663852886e38, 1e-45, float("inf"), float("-inf"), float("nan")]
WORDS = ["", "a", "fc_a", "__LABEL__", "__LINE_ID__", "instance_weight", "名前", "x" * 130]


def varint(value, pad=0):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(min(pad, 10 - len(out))):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def tag(number, wire_type):
    return varint(number << 3 | wire_type)


def block(number, content):
    return tag(number, BYTES) + varint(len(content)) + content


class Wire:
    """Makes messages with a random.Random; `value(field, random)` may decide the content of a field, or return None."""

    def __init__(self, random, value=lambda field, random: None, odd=True):
        self.random, self.value, self.odd = random, value, odd

    def message(self, descriptor, depth=0):
        pieces = []
        for field in descriptor.fields:
            most = (3 if field.is_repeated else 2 if self.odd else 1) if depth < 5 else 0
            if field.message_type is None or depth < 5:
                pieces += [self.occurrence(field, depth) for _ in range(self.random.randint(0, max(most, 1)))]
        if self.odd:
            pieces += [self.unknown() for _ in range(self.random.choice([0, 0, 0, 1]))]
        self.random.shuffle(pieces)
        return b"".join(pieces)

    def unknown(self):
        number = self.random.choice([777, 5000, 536870911])
        return self.random.choice([tag(number, VARINT) + varint(5), block(number, b"what"), tag(number, FIXED32) + b"abcd",
                                   tag(number, 3) + tag(1, VARINT) + b"\1" + tag(number, 4)])

    def occurrence(self, field, depth):
        if self.odd and self.random.random() < 0.02:  # a wire type the field does not have: counts as unknown
            scalar = field.cpp_type in (field.CPPTYPE_STRING, field.CPPTYPE_MESSAGE)
            return tag(field.number, VARINT) + b"\7" if scalar else tag(field.number, FIXED64 if self.width(field) != 8 else FIXED32) + bytes(8 if self.width(field) != 8 else 4)
        given = self.value(field, self.random)
        if given is not None:
            return given
        if field.message_type is not None:
            return block(field.number, self.message(field.message_type, depth + 1))
        if field.cpp_type == field.CPPTYPE_STRING:
            word = self.random.choice(WORDS)
            return block(field.number, word.encode() if field.type != field.TYPE_BYTES else self.random.choice([b"", b"\xff\0", word.encode()]))
        if field.is_repeated and self.random.random() < 0.7:
            return block(field.number, b"".join(self.scalar(field)[1] for _ in range(self.random.randint(0, 4))))
        wire_type, content = self.scalar(field)
        return tag(field.number, wire_type) + content

    def width(self, field):
        return {field.TYPE_FIXED64: 8, field.TYPE_DOUBLE: 8, field.TYPE_FLOAT: 4}.get(field.type, 0)

    def scalar(self, field):
        random = self.random
        if field.type == field.TYPE_FLOAT:
            return FIXED32, struct.pack("<f", random.choice(FLOATS))
        if field.type == field.TYPE_DOUBLE:
            return FIXED64, struct.pack("<d", random.choice(FLOATS))
        if field.type == field.TYPE_FIXED64:
            return FIXED64, struct.pack("<Q", random.choice([0, 1, 1 << 63, (1 << 64) - 1, random.getrandbits(64), random.randint(0, 3) << 54 | random.getrandbits(8)]))
        pad = random.choice([0, 0, 0, 1, 9]) if self.odd else 0
        if field.type == field.TYPE_ENUM:
            return VARINT, varint(random.choice([0, 1, 0, 1, 2]), pad)
        return VARINT, varint(random.choice([0, 1, 127, 128, -1, 1 << 31, (1 << 63) - 1, random.getrandbits(64)]), pad)
