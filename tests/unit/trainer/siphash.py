"""SipHash-2-4 as in its paper (Aumasson & Bernstein 2012, section 2), a reference for TensorFlow's kernel."""

from __future__ import annotations

_MASK = 2**64 - 1


def siphash(key: tuple[int, int], data: bytes) -> int:
    """Returns the 64-bit hash of `data` with the 128-bit `key`."""
    v = [
        key[0] ^ 0x736F6D6570736575,
        key[1] ^ 0x646F72616E646F6D,
        key[0] ^ 0x6C7967656E657261,
        key[1] ^ 0x7465646279746573,
    ]
    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) % 256])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        v[3] ^= word
        _rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xFF
    _rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _rounds(v: list[int], count: int) -> None:
    for _ in range(count):
        for a, b, by in ((0, 1, 13), (2, 3, 16)):
            v[a] = (v[a] + v[b]) & _MASK
            v[b] = _rotated(v[b], by) ^ v[a]
        v[0] = _rotated(v[0], 32)
        for a, b, by in ((2, 1, 17), (0, 3, 21)):
            v[a] = (v[a] + v[b]) & _MASK
            v[b] = _rotated(v[b], by) ^ v[a]
        v[2] = _rotated(v[2], 32)


def _rotated(word: int, by: int) -> int:
    return ((word << by) | (word >> (64 - by))) & _MASK
