"""The records of a zip file, as bytes that depend on a member's facts alone.

Members are stored, with fixed times and modes and no data descriptors, which
TorchServe's reader needs (0.12, ZipUtils.java).

Source: the zip format is PKWARE's APPNOTE 6.3.10; names in brackets are its terms.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

DATA_ALIGNMENT_BYTES = 4096
"""Where the first member's data starts: a block of every file system that shares."""

_DOS_DATE_1980 = 0x21
"""1980-01-01, the earliest that a zip can say."""

_ZIP64_LIMIT = 0xFFFFFFFF
_UTF8_NAMES = 0x800
_MADE_BY_UNIX = 3 << 8
_REGULAR_FILE_0644 = 0o100644 << 16
_PADDING_ID = 0xD935
"""The extra field with which Android's zipalign pads."""


@dataclass(frozen=True)
class Entry:
    """What a zip says of one member."""

    path: str
    size_bytes: int
    crc32: int


def local_header(entry: Entry, start: int, *, align: bool) -> bytes:
    """Give the [local file header]; sizes are known, so nothing follows the data."""
    name, size = entry.path.encode(), entry.size_bytes
    extra = struct.pack("<HHQQ", 1, 16, size, size) if size >= _ZIP64_LIMIT else b""
    if align:
        extra += _padding(start + 30 + len(name) + len(extra))
    short = min(size, _ZIP64_LIMIT)
    return (
        struct.pack(
            "<IHHHHHIIIHH",
            0x04034B50,
            45 if size >= _ZIP64_LIMIT else 20,
            _UTF8_NAMES,
            0,  # stored
            0,
            _DOS_DATE_1980,
            entry.crc32,
            short,
            short,
            len(name),
            len(extra),
        )
        + name
        + extra
    )


def _padding(position: int) -> bytes:
    """Give the extra field that moves *position* to the next alignment."""
    length = -(position + 4) % DATA_ALIGNMENT_BYTES
    return struct.pack("<HH", _PADDING_ID, length) + bytes(length)


def directory_entry(entry: Entry, start: int) -> bytes:
    """Give the [central directory header] of a member that starts at *start*."""
    name, size = entry.path.encode(), entry.size_bytes
    large = [size, size] if size >= _ZIP64_LIMIT else []
    large += [start] if start >= _ZIP64_LIMIT else []
    extra = (
        struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    )
    version = 45 if large else 20
    short = min(size, _ZIP64_LIMIT)
    return (
        struct.pack(
            "<IHHHHHHIIIHHHHHII",
            0x02014B50,
            version | _MADE_BY_UNIX,
            version,
            _UTF8_NAMES,
            0,
            0,
            _DOS_DATE_1980,
            entry.crc32,
            short,
            short,
            len(name),
            len(extra),
            0,
            0,
            0,
            _REGULAR_FILE_0644,
            min(start, _ZIP64_LIMIT),
        )
        + name
        + extra
    )


def end(count: int, start: int, size: int) -> bytes:
    """Give the [end of central directory record], the zip64 one before it if needed."""
    large = b""
    if start >= _ZIP64_LIMIT or count >= 0xFFFF:
        large = struct.pack(
            "<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, start
        ) + struct.pack("<IIQI", 0x07064B50, 0, start + size, 1)
    few = min(count, 0xFFFF)
    return large + struct.pack(
        "<IHHHHIIH", 0x06054B50, 0, 0, few, few, size, min(start, _ZIP64_LIMIT), 0
    )
