"""A builder of `.mmh` files for tests, good ones and hostile ones, written from the specification alone.

It chooses nothing and optimizes nothing: the caller says which frames there are and how each number is cut up. Whatever
the caller leaves out is made right (sizes, checksums, hashes, index, footer); whatever the caller overrides is written
as told, with the hashes around it made right again, so that each lie reaches the rule that it is meant for.

    good = build([store(b"abc"), pattern(b"\\0", 1 << 20)], name="zeros.bin")
    lie = build([store(b"abc")], source_len=4)

A tensor payload is made in two steps. `tensor_parts` cuts a block up and gives its fields, each of which may be changed
before `to_bytes` puts them together:

    parts = tensor_parts(block, element_bits=16, t=8, sign_moved=True, modes=[Coded(lengths), PACKED])
    parts.q = 99
    build([tensor_frame(parts.to_bytes(), block)])

A hierarchical payload is a node: `leaf`, or `records_parts` and `words_parts`, which are made and changed alike.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import xxhash
from blake3 import blake3

MAGIC = b"\x89MMH\r\n\x1a\n"
END_MAGIC = b"MMHEND\r\n"

STORE, PATTERN251, LZ4, ZSTD, HIERARCHICAL, TENSOR, DELTA, COPY, PREFIX, RELATIVE = range(10)

# Name, number in the file, elements and bytes of a unit.
DTYPES: dict[str, tuple[int, int, int]] = {
    "BOOL": (0, 1, 1),
    "U8": (1, 1, 1),
    "I8": (2, 1, 1),
    "U16": (3, 1, 2),
    "I16": (4, 1, 2),
    "U32": (5, 1, 4),
    "I32": (6, 1, 4),
    "U64": (7, 1, 8),
    "I64": (8, 1, 8),
    "F16": (9, 1, 2),
    "BF16": (10, 1, 2),
    "F32": (11, 1, 4),
    "F64": (12, 1, 8),
    "F8_E4M3": (13, 1, 1),
    "F8_E5M2": (14, 1, 1),
    "F8_E4M3FNUZ": (15, 1, 1),
    "F8_E5M2FNUZ": (16, 1, 1),
    "F8_E8M0": (17, 1, 1),
    "F4": (18, 2, 1),
    "F6_E2M3": (19, 4, 3),
    "F6_E3M2": (20, 4, 3),
    "C64": (21, 1, 8),
    "Q4_0": (22, 32, 18),
    "Q4_1": (23, 32, 20),
    "Q5_0": (24, 32, 22),
    "Q5_1": (25, 32, 24),
    "Q8_0": (26, 32, 34),
    "Q8_1": (27, 32, 40),
    "Q2_K": (28, 256, 84),
    "Q3_K": (29, 256, 110),
    "Q4_K": (30, 256, 144),
    "Q5_K": (31, 256, 176),
    "Q6_K": (32, 256, 210),
    "Q8_K": (33, 256, 292),
    "IQ2_XXS": (34, 256, 66),
    "IQ2_XS": (35, 256, 74),
    "IQ3_XXS": (36, 256, 98),
    "IQ1_S": (37, 256, 50),
    "IQ4_NL": (38, 32, 18),
    "IQ3_S": (39, 256, 110),
    "IQ2_S": (40, 256, 82),
    "IQ4_XS": (41, 256, 136),
    "IQ1_M": (42, 256, 56),
    "TQ1_0": (43, 256, 54),
    "TQ2_0": (44, 256, 66),
    "MXFP4": (45, 32, 17),
    "NVFP4": (46, 64, 36),
    "Q1_0": (47, 128, 18),
}


def u8(value: int) -> bytes:
    return value.to_bytes(1, "little")


def u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


def varint(value: int, pad_to: int = 0) -> bytes:
    """Unsigned LEB128; `pad_to` makes it longer than it needs to be."""
    out = bytearray()
    while value >= 0x80 or len(out) + 1 < pad_to:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def string(text: str | bytes) -> bytes:
    data = text.encode("utf-8") if isinstance(text, str) else text
    return varint(len(data)) + data


def xxh3(data: bytes, seed: int = 0) -> int:
    return xxhash.xxh3_64_intdigest(data, seed=seed)


# ---- Frames ----


@dataclass
class Frame:
    """One frame. `restored` is what it stands for; a copy's may be left out, for `build` knows the bytes before it.
    The fields that are None are made right."""

    codec: int
    payload: bytes
    raw: int
    restored: bytes | None = None
    checksum: int | None = None
    stored: int | None = None
    sync: bytes = b"FR"
    reserved: int = 0

    def right_checksum(self) -> int:
        if self.codec in (PATTERN251, COPY):
            return xxh3(self.payload, self.raw)
        return xxh3(self.restored or b"")

    def to_bytes(self) -> bytes:
        stored = len(self.payload) if self.stored is None else self.stored
        checksum = self.right_checksum() if self.checksum is None else self.checksum
        header = self.sync + u8(self.codec) + u8(self.reserved) + u32(stored) + u64(self.raw) + u64(checksum)
        return header + self.payload


def block(codec: int, payload: bytes, restored: bytes) -> Frame:
    return Frame(codec, payload, len(restored), restored)


def store(data: bytes) -> Frame:
    return block(STORE, data, data)


def pattern(period: bytes, raw: int) -> Frame:
    restored = (period * (raw // max(len(period), 1) + 1))[:raw]
    return Frame(PATTERN251, period, raw, restored)


def lz4(payload: bytes, restored: bytes) -> Frame:
    return block(LZ4, payload, restored)


def zstd(payload: bytes, restored: bytes) -> Frame:
    return block(ZSTD, payload, restored)


def prefix(payload: bytes, restored: bytes) -> Frame:
    return block(PREFIX, payload, restored)


def tensor_frame(payload: bytes, restored: bytes) -> Frame:
    return block(TENSOR, payload, restored)


def hierarchical_frame(payload: bytes, restored: bytes) -> Frame:
    return block(HIERARCHICAL, payload, restored)


def copy(offset: int, raw: int) -> Frame:
    return Frame(COPY, u64(offset), raw)


# ---- The container ----


@dataclass
class Tensor:
    """One row of the tensor table. `dtype` is a name of the table or a number, `digest` is made right when None."""

    name: str | bytes
    dtype: str | int
    shape: Sequence[int]
    gap: int = 0
    layout: int = 0
    rank: int | None = None
    digest: bytes | None = None

    def dtype_number(self) -> int:
        return self.dtype if isinstance(self.dtype, int) else DTYPES[self.dtype][0]

    def length(self) -> int:
        """Size in bytes; 0 for a dtype that there is not."""
        units = {number: unit for number, *unit in DTYPES.values()}
        elements, size = units.get(self.dtype_number(), (1, 0))
        return math.prod(self.shape) * size // elements


def build(
    frames: Sequence[Frame] = (),
    tensors: Sequence[Tensor] = (),
    *,
    source_len: int | None = None,
    name: str | bytes = "",
    source_format: int = 0,
    hashes: bool = True,
    sha256: bool = False,
    magic: bytes = MAGIC,
    version: int = 0,
    flags: int | None = None,
    header_check: int | None = None,
    hash_flags: int | None = None,
    source_blake3: bytes | None = None,
    source_sha256: bytes | None = None,
    index_sync: bytes = b"IX",
    frame_count: int | None = None,
    frame_table: Sequence[tuple[int, int, int]] | None = None,
    tensor_count: int | None = None,
    index_tail: bytes = b"",
    index: bytes | None = None,
    index_size: int | None = None,
    index_hash: int | None = None,
    file_size: int | None = None,
    footer_hash: int | None = None,
    end_magic: bytes = END_MAGIC,
    between: bytes = b"",
    trailing: bytes = b"",
    record: bytes = b"",
    pack: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """A whole `.mmh` file.

    `hashes` and `sha256` say which content hashes there are. `frame_table` has (codec, raw, stored) rows; `index` is a
    whole index instead of the one made from the other arguments; `index_tail` is added to it; `between` stands between
    the frames and the index; `trailing` follows the footer; `record` is that of a base (see `base_record`);
    `pack` makes what is written of the index. What is
    None is made right.
    """
    source = restored_source(frames)
    if flags is None:
        flags = int(any(frame.codec == COPY for frame in frames)) | 2 * bool(record)
        flags |= 4 * any(frame.codec == RELATIVE for frame in frames)
    header = magic + u16(version) + u16(flags)
    header += u32(xxh3(header) & 0xFFFFFFFF if header_check is None else header_check)

    if index is None:
        index = build_index(
            source,
            frames,
            tensors,
            source_len=source_len,
            name=name,
            source_format=source_format,
            hash_flags=int(hashes) | int(sha256) << 1 if hash_flags is None else hash_flags,
            source_blake3=source_blake3,
            source_sha256=source_sha256,
            index_sync=index_sync,
            frame_count=frame_count,
            frame_table=frame_table,
            tensor_count=tensor_count,
        )
    index += index_tail
    if pack is not None:
        index = pack(index)
    body = header + record + b"".join(frame.to_bytes() for frame in frames) + between + index
    footer = u64(len(index) if index_size is None else index_size)
    footer += u64(xxh3(index) if index_hash is None else index_hash)
    footer += u64(len(body) + 40 if file_size is None else file_size)
    footer += u64(xxh3(header + footer) if footer_hash is None else footer_hash)
    return body + footer + end_magic + trailing


def restored_source(frames: Iterable[Frame]) -> bytes:
    """The source that the frames stand for. A copy of bytes that are not there yet gives what there is."""
    source = bytearray()
    for frame in frames:
        if frame.restored is None:
            offset = int.from_bytes(frame.payload[:8], "little")
            source += source[offset : offset + frame.raw]
        else:
            source += frame.restored
    return bytes(source)


def build_index(
    source: bytes,
    frames: Sequence[Frame],
    tensors: Sequence[Tensor],
    *,
    source_len: int | None = None,
    name: str | bytes = "",
    source_format: int = 0,
    hash_flags: int = 1,
    source_blake3: bytes | None = None,
    source_sha256: bytes | None = None,
    index_sync: bytes = b"IX",
    frame_count: int | None = None,
    frame_table: Sequence[tuple[int, int, int]] | None = None,
    tensor_count: int | None = None,
) -> bytes:
    """The index alone; see `build`."""
    out = index_sync + varint(sum(frame.raw for frame in frames) if source_len is None else source_len) + u8(hash_flags)
    if hash_flags & 1:
        out += blake3(source).digest() if source_blake3 is None else source_blake3
    if hash_flags & 2:
        out += hashlib.sha256(source).digest() if source_sha256 is None else source_sha256
    out += u8(source_format) + string(name)
    if frame_table is None:
        frame_table = [(frame.codec, frame.raw, len(frame.payload)) for frame in frames]
    out += varint(len(frame_table) if frame_count is None else frame_count)
    for codec, raw, stored in frame_table:
        out += u8(codec) + varint(raw) + varint(stored)
    out += varint(len(tensors) if tensor_count is None else tensor_count)
    end = 0
    for tensor in tensors:
        start = end + tensor.gap
        end = start + tensor.length()
        rank = len(tensor.shape) if tensor.rank is None else tensor.rank
        out += varint(tensor.gap) + string(tensor.name) + u8(tensor.dtype_number()) + u8(tensor.layout) + u8(rank)
        out += b"".join(varint(axis) for axis in tensor.shape)
        if hash_flags & 1:
            out += blake3(source[start:end]).digest() if tensor.digest is None else tensor.digest
    return out


def base_record(
    base: bytes,
    name: str | bytes = "base.bin",
    *,
    sync: bytes = b"BS",
    name_size: int | None = None,
    check: int | None = None,
    length: int | None = None,
    digest: bytes | None = None,
) -> bytes:
    """What a file says of its base. What is None is made right."""
    text = name.encode("utf-8") if isinstance(name, str) else name
    head = sync + u16(len(text) if name_size is None else name_size)
    tail = u64(len(base) if length is None else length) + (blake3(base).digest() if digest is None else digest) + text
    return head + u32(xxh3(head + tail) & 0xFFFFFFFF if check is None else check) + tail


def delta(payload: bytes, restored: bytes) -> Frame:
    return Frame(DELTA, payload, len(restored), restored)


def relative(payload: bytes, restored: bytes) -> Frame:
    return Frame(RELATIVE, payload, len(restored), restored)


# ---- Tensor payloads ----

GROUP = 32768
LANES = 32
STATES = 256
EXACT_LANES = 16


@dataclass(frozen=True)
class Constant:
    value: int


@dataclass(frozen=True)
class Packed:
    pass


@dataclass(frozen=True)
class Coded:
    """A plane coded with a given length for each value that occurs. `first` and `last` widen the table."""

    lengths: Mapping[int, int]
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True)
class Lanes:
    """The plane of symbols in lanes: the frequencies of each code, and the code of each group if there are several.
    `first` and `last` widen the tables; `stand_in` is written for values without a code (when None: the lowest one)."""

    codes: Sequence[Mapping[int, int]]
    chosen: Sequence[int] = ()
    first: int | None = None
    last: int | None = None
    stand_in: int | None = None

    def of_group(self, group: int) -> Mapping[int, int]:
        return self.codes[self.chosen[group] if self.chosen else 0]


@dataclass(frozen=True)
class Exact:
    """The plane of symbols in lanes with exact frequencies: the weights of each code from a first value on, and the
    code of each group if there are several. `last` and `table_tail` are written into each table, true or not; `carry`
    stands for symbols that are not there in the states of the encoder, which are `lowest` and these."""

    codes: Sequence[tuple[int, Sequence[int]]]
    chosen: Sequence[int] = ()
    stand_in: int | None = None
    last: int | None = None
    table_tail: str = ""
    carry: int = 0
    lowest: int = 1 << 16

    def of_group(self, group: int) -> Mapping[int, int]:
        first, weights = self.codes[self.chosen[group] if self.chosen else 0]
        return {s: f for s, f in slot_frequencies(dict(enumerate(weights, start=first))).items() if s is not None}


@dataclass(frozen=True)
class Modelled:
    """A symbol plane with one table for all classes, so that classes make no difference. The fields after
    `escape_weight` are written as they are, true or not."""

    weights: Sequence[int]
    first: int
    escape: int | None = None
    escape_weight: int = 0
    form: int = 0x32
    start: int = 100
    columns: bytes = b"\0"
    ends: bytes = b"\x01"
    last: int | None = None
    table_tail: str = ""
    state: int | None = None
    word_count_change: int = 0
    extra_words: bytes = b""


PACKED = Packed()
Mode = Constant | Packed | Coded | Lanes | Exact | Modelled


@dataclass
class TensorParts:
    """The fields of a tensor payload, in order. `b0` is put together from the first five unless it is given; each
    group is a list of the data of its planes that are not constant. With lanes, the first of these is the size of the
    stream, and the stream is the last."""

    log_size: int
    sign_moved: bool
    zigzag: bool
    head_size: int
    b0: int | None
    t: int
    drop: int
    q: int
    log_segment: int
    base: int
    head: bytes
    tail: bytes
    descriptors: list[bytes]
    presence: bytes
    groups: list[list[bytes]]
    exceptions: bytes
    codeless: bytes = b""
    group_sizes: list[int] | None = None
    after: bytes = field(default=b"")

    def to_bytes(self) -> bytes:
        b0 = self.log_size | self.sign_moved << 2 | self.zigzag << 3 | self.head_size << 4
        out = u8(b0 if self.b0 is None else self.b0)
        out += u8(self.t) + u8(self.drop) + u8(self.q) + u8(self.log_segment) + u16(self.base)
        out += self.head + self.tail + b"".join(self.descriptors) + self.presence
        groups = [b"".join(group) for group in self.groups]
        sizes = [len(group) for group in groups] if self.group_sizes is None else self.group_sizes
        out += b"".join(u32(size) for size in sizes) + b"".join(groups)
        return out + self.exceptions + self.codeless + self.after


def tensor_parts(
    block: bytes,
    *,
    element_bits: int,
    t: int,
    sign_moved: bool = False,
    zigzag: bool = False,
    drop: int = 0,
    q: int = 0,
    log_segment: int | None = None,
    base: int = 0,
    head_size: int = 0,
    modes: Sequence[Mode] | None = None,
    present: Sequence[bool] | None = None,
) -> TensorParts:
    """Cut a block up as section 1 of the tensor codec says.

    `modes` has one entry for each plane, in the order of the planes (all packed when None). `present` says in which
    segments the low part is stored (when None: where it is not zero). Elements that do not fit (low bits that are to
    be dropped and are not zero, ...) are an error of the caller's.
    """
    size = element_bits // 8
    count = (len(block) - head_size) // size
    end = head_size + count * size
    elements = [int.from_bytes(block[at : at + size], "little") for at in range(head_size, end, size)]
    r = element_bits - t
    h = r - drop - q
    split = [split_element(x, element_bits, t, sign_moved, zigzag) for x in elements]

    symbols: list[int] = []
    exceptions: list[tuple[int, int]] = []
    for position, (T, _) in enumerate(split):
        if t <= 8 or T == 0:
            symbols.append(T)
        elif 1 <= T - base <= 255:
            symbols.append(T - base)
        else:
            symbols.append(0)
            exceptions.append((position, T))

    assert all(R % (1 << drop) == 0 for _, R in split), "bits that are to be dropped are not zero"
    high = [R >> (drop + q) for _, R in split]
    low = [(R >> drop) % (1 << q) for _, R in split]
    if log_segment is None:
        log_segment = 4 if q else 0
    if q == 0:
        present = []
    elif present is None:
        segment = 1 << log_segment
        present = [any(low[start : start + segment]) for start in range(0, count, segment)]

    widths = [8, *plane_widths(h), *plane_widths(q)]
    modes = [PACKED] * len(widths) if modes is None else modes
    assert len(modes) == len(widths), f"there are {len(widths)} planes of the widths {widths}"
    lanes = modes[0] if isinstance(modes[0], Lanes | Exact) else None
    codeless: list[tuple[int, int]] = []
    if lanes is not None:
        codes = [lanes.of_group(group) for group in range((count + GROUP - 1) // GROUP)]
        codeless = [(p, s) for p, s in enumerate(symbols) if s not in codes[p // GROUP]]
    if isinstance(lanes, Exact):
        codeless = [(p, s) for p, s in codeless if p < p // GROUP * GROUP + coded_count(p // GROUP, count)]
    groups: list[list[bytes]] = []
    for start in range(0, count, GROUP):
        stop = min(start + GROUP, count)
        kept = [low[i] for i in range(start, stop) if q and present[i >> log_segment]]
        planes = [symbols[start:stop], *cut_planes(high[start:stop], h), *cut_planes(kept, q)]
        group = [
            plane_data(values, width, mode)
            for values, width, mode in zip(planes, widths, modes, strict=True)
            if not isinstance(mode, Constant | Lanes | Exact)
        ]
        if lanes is not None:
            code = codes[start // GROUP]
            if isinstance(lanes, Exact):
                stream = exact_stream(symbols[start:stop], code, lanes)
            else:
                stream = lanes_stream(symbols[start:stop], code, lanes.stand_in)
            group = [u16(len(stream)), *group, stream]
        groups.append(group)
    return TensorParts(
        log_size=size.bit_length() - 1,
        sign_moved=sign_moved,
        zigzag=zigzag,
        head_size=head_size,
        b0=None,
        t=t,
        drop=drop,
        q=q,
        log_segment=log_segment,
        base=base,
        head=block[:head_size],
        tail=block[end:],
        descriptors=[descriptor(mode) for mode in modes],
        presence=presence_bitmap(present),
        groups=groups,
        exceptions=exception_list(exceptions) if t > 8 else b"",
        codeless=codeless_list(codeless) if lanes is not None else b"",
    )


def split_element(x: int, element_bits: int, t: int, sign_moved: bool = False, zigzag: bool = False) -> tuple[int, int]:
    """An element's T and R."""
    r = element_bits - t
    mask = (1 << element_bits) - 1
    if zigzag:
        x = (x << 1 ^ (mask if x >> (element_bits - 1) else 0)) & mask
    if sign_moved:
        return (x >> (r - 1)) % (1 << t), (x >> (element_bits - 1) << (r - 1)) + x % (1 << (r - 1))
    return x >> r, x % (1 << r)


def join_element(T: int, R: int, element_bits: int, t: int, sign_moved: bool = False, zigzag: bool = False) -> int:
    """The element with a given T and R."""
    r = element_bits - t
    if sign_moved:
        return (R >> (r - 1) << (element_bits - 1)) + (T << (r - 1)) + R % (1 << (r - 1))
    x = (T << r) + R
    return (x >> 1 ^ -(x & 1)) % (1 << element_bits) if zigzag else x


def plane_widths(bits: int) -> list[int]:
    widths: list[int] = []
    for width in (8, 4, 2, 1):
        while bits >= width:
            widths.append(width)
            bits -= width
    return widths


def cut_planes(values: Sequence[int], bits: int) -> list[list[int]]:
    """Values of `bits` bits, cut into planes from the top bit down."""
    planes: list[list[int]] = []
    for width in plane_widths(bits):
        bits -= width
        planes.append([value >> bits & ((1 << width) - 1) for value in values])
    return planes


def plane_data(values: Sequence[int], width: int, mode: Mode) -> bytes:
    """A plane's data in one group."""
    if isinstance(mode, Constant):
        return b""
    if isinstance(mode, Modelled):
        return modelled_plane(values, mode)
    return coded_plane(values, mode.lengths) if isinstance(mode, Coded) else packed_plane(values, width)


def packed_plane(values: Sequence[int], width: int) -> bytes:
    columns = (len(values) * width + 7) // 8
    out = bytearray(columns)
    for i, value in enumerate(values):
        out[i % columns] |= value << width * (i // columns)
    return bytes(out)


def coded_plane(values: Sequence[int], lengths: Mapping[int, int]) -> bytes:
    """The sizes of the streams and the streams."""
    if not values:
        return b""
    count = 8 if len(values) >= 1024 else 1
    each = (len(values) + count - 1) // count
    streams = [coded_stream(values[k * each : (k + 1) * each], lengths) for k in range(count)]
    return b"".join(u16(len(stream)) for stream in streams) + b"".join(streams)


def coded_stream(values: Sequence[int], lengths: Mapping[int, int]) -> bytes:
    codes = canonical_codes(lengths)
    bits = "".join(codes[value] for value in reversed(values))
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def canonical_codes(lengths: Mapping[int, int]) -> dict[int, str]:
    """The codes as strings of 0 and 1, as in RFC 1951, 3.2.2."""
    codes: dict[int, str] = {}
    code = previous = 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items() if length):
        code <<= length - previous
        codes[symbol] = f"{code:0{length}b}"
        code += 1
        previous = length
    return codes


def state_table(frequencies: Mapping[int, int]) -> dict[tuple[int, int], int]:
    """The state of each value and number v."""
    spread = [0] * STATES
    at = 0
    for value in sorted(frequencies):
        for _ in range(frequencies[value]):
            spread[at] = value
            at = (at + 163) % STATES
    states: dict[tuple[int, int], int] = {}
    seen = dict.fromkeys(frequencies, 0)
    for state, value in enumerate(spread):
        states[value, frequencies[value] + seen[value]] = state
        seen[value] += 1
    return states


def lanes_stream(values: Sequence[int], frequencies: Mapping[int, int], stand_in: int | None = None) -> bytes:
    """A group's stream; values without a code are written as another one."""
    states = state_table(frequencies)
    if stand_in is None:
        stand_in = min(frequencies)
    values = [value if value in frequencies else stand_in for value in values]
    # For each lane the bits of its steps in the order in which they are read, and its first state.
    steps: list[list[str]] = []
    begin: list[int] = []
    for lane in range(LANES):
        own = values[lane::LANES]
        bits: list[str] = []
        state = states[own[-1], frequencies[own[-1]]] if own else 0
        for value in reversed(own[:-1]):
            # The next state, with 256 added, is v followed by the bits u.
            x, f = STATES + state, frequencies[value]
            count = next(count for count in range(9) if f <= x >> count < 2 * f)
            bits.append(f"{x % (1 << count):0{count}b}" if count else "")
            state = states[value, x >> count]
        steps.append(bits[::-1])
        begin.append(state)
    # The bits over a multiple of eight stand at the end; the others are taken a byte at a time, by the lanes in order.
    whole = ["".join(bits) for bits in steps]
    at = [len(bits) % 8 for bits in whole]
    held = at.copy()
    rows: list[bytes] = []
    for row in range(max(map(len, steps))):
        taken = bytearray()
        for lane in range(LANES):
            if row >= len(steps[lane]):
                continue
            count = len(steps[lane][row])
            if held[lane] < count:
                taken.append(int(whole[lane][at[lane] : at[lane] + 8], 2))
                at[lane] += 8
                held[lane] += 8
            held[lane] -= count
        rows.append(bytes(taken))
    first = bytes(int(f"{bits[: len(bits) % 8]}1".ljust(8, "0"), 2) for bits in whole)
    return b"".join(reversed(rows)) + first + bytes(begin)


def coded_count(group: int, count: int) -> int:
    """How many of a group's symbols are coded, where frequencies are exact."""
    return max(0, min(GROUP, count - group * GROUP) - 2 * EXACT_LANES)


def exact_stream(values: Sequence[int], frequencies: Mapping[int, int], mode: Exact) -> bytes:
    """A group's stream: the words, the first ones last, and the states; values without a code are written as another
    one."""
    ends = dict(zip(frequencies, accumulate(frequencies.values()), strict=True))
    stand_in = min(frequencies) if mode.stand_in is None else mode.stand_in
    coded = max(0, len(values) - 2 * EXACT_LANES)
    carried = [*values[coded:], *[mode.carry] * (coded + 2 * EXACT_LANES - len(values))]
    pairs = zip(carried[:EXACT_LANES], carried[EXACT_LANES:], strict=True)
    states = [mode.lowest + low + (high << 8) for low, high in pairs]
    words: list[int] = []
    for row in reversed(range(0, coded, EXACT_LANES)):
        for lane, value in enumerate(values[row : min(row + EXACT_LANES, coded)]):
            symbol = value if value in frequencies else stand_in
            f, x = frequencies[symbol], states[lane]
            if x >= f << 20:
                words.append(x % 65536)
                x >>= 16
            states[lane] = x // f * 4096 + x % f + ends[symbol] - f
    return b"".join(u16(word) for word in words) + b"".join(u32(state) for state in states)


def slot_frequencies(weights: Mapping[int | None, int]) -> dict[int | None, int]:
    """The frequencies of what has a weight, in 4096ths, in the order given."""
    scale = (32768, 35734, 38968, 42495, 46341, 50535, 55109, 60097)
    shares = {symbol: scale[w % 8] << w // 8 for symbol, w in weights.items() if w > 0}
    total = sum(shares.values())
    ends = [below * (4096 - len(shares)) // total for below in accumulate(shares.values(), initial=0)]
    return {symbol: 1 + end - start for symbol, (start, end) in zip(shares, pairwise(ends), strict=True)}


def flat_frequencies(values: Iterable[int]) -> dict[int, int]:
    """Frequencies for two or more values that differ by at most one."""
    ordered = sorted(set(values))
    share, more = divmod(STATES, len(ordered))
    return {value: share + (place < more) for place, value in enumerate(ordered)}


def flat_lengths(symbols: Iterable[int]) -> dict[int, int]:
    """A complete code for two or more symbols, with lengths that differ by at most one."""
    ordered = sorted(set(symbols))
    long = (len(ordered) - 1).bit_length()
    short_count = (1 << long) - len(ordered)
    return {symbol: long - (place < short_count) for place, symbol in enumerate(ordered)}


def skewed_lengths(symbols: Iterable[int]) -> dict[int, int]:
    """A complete code with the lengths 1, 2, 3, ... for two to 13 symbols, in the order given."""
    ordered = list(symbols)
    return {symbol: min(place + 1, len(ordered) - 1) for place, symbol in enumerate(ordered)}


def descriptor(mode: Mode) -> bytes:
    if isinstance(mode, Constant):
        return u8(0) + u8(mode.value)
    if isinstance(mode, Lanes):
        tables = b"".join(frequency_table(code, mode.first, mode.last) for code in mode.codes)
        return u8(3) + u8(len(mode.codes)) + tables + bytes(mode.chosen)
    if isinstance(mode, Modelled):
        return u8(4) + model(mode)
    if isinstance(mode, Exact):
        tables = b"".join(weight_table(*code, None, mode.last, mode.table_tail) for code in mode.codes)
        return u8(5) + u8(len(mode.codes)) + tables + bytes(mode.chosen)
    return u8(2) + code_table(mode) if isinstance(mode, Coded) else u8(1)


def model(mode: Modelled) -> bytes:
    """The descriptor of a modelled plane, after its mode."""

    escape_weight = mode.escape_weight if mode.escape is not None else None
    table = weight_table(mode.first, mode.weights, escape_weight, mode.last, mode.table_tail)
    form = mode.form | (mode.escape is not None) << 7
    escape = b"" if mode.escape is None else u8(mode.escape)
    return u8(form) + u8(0) + u16(mode.start) + u8(0) + escape + mode.columns + mode.ends + table


def weight_table(
    first: int, weights: Sequence[int], escape_weight: int | None, last: int | None = None, tail: str = ""
) -> bytes:
    """The weights of a table, with `tail` behind them, filled up with zeros."""

    def bits(value: int, count: int) -> str:
        return f"{value:0{count}b}"[::-1]

    string = bits(first, 8) + bits(first + len(weights) - 1 if last is None else last, 8)
    string += bits(escape_weight, 7) if escape_weight is not None else ""
    string += bits(weights[0], 7)
    for before, weight in pairwise(weights):
        z = 2 * abs(weight - before) - (weight < before) + 4
        size = z.bit_length() - 1
        string += "1" * (size - 2) + "0" + bits(z - (1 << size), size)
    string += tail
    string += "0" * (-len(string) % 8)
    return bytes(int(string[at : at + 8][::-1], 2) for at in range(0, len(string), 8))


def modelled_plane(values: Sequence[int], mode: Modelled) -> bytes:
    """The number of words, the states and the words: rANS, last element first."""
    weights: dict[int | None, int] = dict(enumerate(mode.weights, start=mode.first)) | {None: mode.escape_weight}
    frequencies = slot_frequencies(weights)
    starts = dict(zip(frequencies, accumulate(frequencies.values(), initial=0), strict=False))
    lanes = 4 if len(values) >= 1024 else 1
    each = (len(values) + lanes - 1) // lanes
    states = [1 << 16] * lanes
    words: list[int] = []
    for step in reversed(range(each)):
        for lane in reversed(range(lanes)):
            if (position := lane * each + step) >= len(values):
                continue
            symbol, x = values[position], states[lane]
            if symbol not in frequencies:
                if x >= 1 << 24:
                    words.append(x % 65536)
                    x >>= 16
                x = x << 8 | symbol
            coded = symbol if symbol in frequencies else None
            frequency = frequencies[coded]
            if x >= frequency << 20:
                words.append(x % 65536)
                x >>= 16
            states[lane] = x // frequency * 4096 + x % frequency + starts[coded]
    states[0] = states[0] if mode.state is None else mode.state
    out = u16(len(words) + mode.word_count_change) + b"".join(u32(state) for state in states)
    return out + b"".join(u16(word) for word in reversed(words)) + mode.extra_words


def frequency_table(frequencies: Mapping[int, int], first: int | None = None, last: int | None = None) -> bytes:
    first = min(frequencies) if first is None else first
    last = max(frequencies) if last is None else last
    return u8(first) + u8(last) + bytes(frequencies.get(value, 0) for value in range(first, last + 1))


def code_table(mode: Coded) -> bytes:
    first = min(mode.lengths) if mode.first is None else mode.first
    last = max(mode.lengths) if mode.last is None else mode.last
    lengths = [mode.lengths.get(symbol, 0) for symbol in range(first, last + 1)]
    lengths += [0] * (len(lengths) % 2)
    pairs = zip(lengths[::2], lengths[1::2], strict=True)
    return u8(first) + u8(last) + bytes(even | odd << 4 for even, odd in pairs)


def presence_bitmap(present: Sequence[bool]) -> bytes:
    out = bytearray((len(present) + 7) // 8)
    for i, bit in enumerate(present):
        out[i // 8] |= bit << i % 8
    return bytes(out)


def exception_list(exceptions: Sequence[tuple[int, int]], count: int | None = None) -> bytes:
    """Exceptions as (position, T); `count` overrides their number."""
    out = varint(len(exceptions) if count is None else count)
    before = -1
    for position, T in exceptions:
        out += varint(position - before - 1) + u16(T)
        before = position
    return out


def codeless_list(
    codeless: Sequence[tuple[int, int]],
    r: int = 4,
    *,
    kinds: Sequence[int] | None = None,
    count: int | None = None,
    long: int = 24,
    more_bits: str = "",
) -> bytes:
    """Symbols without a code as (position, symbol). What is None is made right; gaps of `long` units and more are
    written in full; `more_bits` follow the others."""
    out = varint(len(codeless) if count is None else count)
    if not codeless:
        return out
    if kinds is None:
        kinds = sorted({symbol for _, symbol in codeless})
    width = (len(kinds) - 1).bit_length()

    def lowest_first(value: int, size: int) -> str:
        return f"{value:0{size}b}"[::-1] if size else ""

    bits = ""
    before = -1
    for position, symbol in codeless:
        gap = position - before - 1
        if gap >> r >= long:
            bits += "0" * 24 + "1" + lowest_first(gap, 24)
        else:
            bits += "0" * (gap >> r) + "1" + lowest_first(gap % (1 << r), r)
        bits += lowest_first(kinds.index(symbol), width)
        before = position
    bits += more_bits
    bits += "0" * (-len(bits) % 8)
    out += u8(r) + u8(len(kinds) - 1) + bytes(kinds)
    return out + bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


# ---- Nodes of hierarchical payloads ----


def leaf(data: bytes, codec: int = STORE, payload: bytes | None = None, size: int | None = None) -> bytes:
    """A leaf for `data`: as it is, or as the payload of another codec."""
    payload = data if payload is None else payload
    return u8(0) + u8(codec) + varint(len(payload) if size is None else size) + payload


def leaf_data(node: bytes) -> bytes:
    """The payload of a leaf."""
    at = 2
    while node[at] >= 0x80:
        at += 1
    return node[at + 1 :]


@dataclass
class Part:
    """Where bits of a field's values stand in a record."""

    offset: int
    span: int
    bits: int = 8
    shift: int = 0
    repeats: int = 1

    def to_bytes(self) -> bytes:
        return u16(self.offset) + u16(self.span) + u8(self.bits) + u8(self.shift) + u8(self.repeats)

    def bits_of(self, record: bytes, i: int) -> int:
        u, r = divmod(i, self.span * self.repeats)
        byte = record[self.offset + u * self.span + r % self.span]
        return byte >> (self.shift + self.bits * (r // self.span)) & ((1 << self.bits) - 1)


@dataclass
class Field:
    """A field of a record; `part_count` overrides the number of its parts."""

    count: int
    parts: list[Part]
    part_count: int | None = None

    def to_bytes(self) -> bytes:
        count = len(self.parts) if self.part_count is None else self.part_count
        return u16(self.count) + u8(count) + b"".join(part.to_bytes() for part in self.parts)

    def values(self, records: bytes, size: int) -> bytes:
        out = bytearray()
        for start in range(0, len(records), size):
            record = records[start : start + size]
            for i in range(self.count):
                value = width = 0
                for part in self.parts:
                    value |= part.bits_of(record, i) << width
                    width += part.bits
                out.append(value)
        return bytes(out)


def whole_bytes(offset: int, count: int) -> Field:
    """A field that is a copy of neighbouring bytes."""
    return Field(count, [Part(offset, count)])


@dataclass
class RecordsParts:
    """A node of records. What may be a lie is a field; `field_count` is made right when None."""

    size: int
    fields: list[Field]
    tail: bytes
    values: list[bytes]
    field_count: int | None = None

    def to_bytes(self) -> bytes:
        count = len(self.fields) if self.field_count is None else self.field_count
        fields = b"".join(field.to_bytes() for field in self.fields)
        return u8(1) + varint(self.size) + varint(count) + fields + self.tail + b"".join(self.values)


def records_parts(block: bytes, size: int, fields: list[Field]) -> RecordsParts:
    """Records of which each field's values are a leaf, as they are."""
    end = len(block) // size * size
    values = [field.values(block[:end], size) for field in fields]
    return RecordsParts(size, fields, block[end:], [leaf(value) for value in values])


@dataclass
class WordsParts:
    """A node of words. What is None is made right; without words that are passed down `below` is empty."""

    bits: int
    head: int
    codebook: list[int]
    first: bytes
    last: bytes
    numbers: bytes
    below: bytes
    known: int | None = None
    flags: int | None = None
    book: bytes | None = None

    def to_bytes(self) -> bytes:
        known = len(self.codebook) if self.known is None else self.known
        flags = int(self.below != b"") if self.flags is None else self.flags
        book = self.book_bytes() if self.book is None else self.book
        fixed = u8(2) + varint(self.bits) + varint(self.head) + varint(known) + u8(flags)
        return fixed + self.first + self.last + book + self.numbers + self.below

    def book_bytes(self) -> bytes:
        return bit_string(self.codebook, self.bits)


def words_parts(
    block: bytes,
    bits: int,
    codebook: list[int],
    head: int = 0,
    below: Callable[[bytes], bytes] = leaf,
) -> WordsParts:
    """Words of `block`; those that are not in the codebook are made a node by `below`."""
    count = (8 * len(block) - head) // bits
    end = head + count * bits
    words = read_bit_string(block, bits, count, head)
    place = {word: number for number, word in reversed(list(enumerate(codebook)))}
    numbers = [place.get(word, len(codebook)) for word in words]
    passed = [word for word in words if word not in place]
    limit = len(codebook) + (passed != [])
    if limit <= 256:
        plane = bytes(numbers)
    else:
        shift = 16 - (limit - 1).bit_length()
        plane = b"".join(u16(number << shift) for number in numbers)
    return WordsParts(
        bits=bits,
        head=head,
        codebook=codebook,
        first=bit_string(read_bit_string(block, head, 1), head),
        last=bit_string(read_bit_string(block, 8 * len(block) - end, 1, end), 8 * len(block) - end),
        numbers=leaf(plane),
        below=below(bit_string(passed, bits)) if passed else b"",
    )


def read_bit_string(data: bytes, bits: int, count: int, at: int = 0) -> list[int]:
    """`count` numbers of `bits` bits from bit `at` on."""
    whole = int.from_bytes(data, "little")
    return [whole >> at + i * bits & ((1 << bits) - 1) for i in range(count)]


def bit_string(words: Sequence[int], bits: int) -> bytes:
    whole = sum(word << i * bits for i, word in enumerate(words))
    return whole.to_bytes((len(words) * bits + 7) // 8, "little")
