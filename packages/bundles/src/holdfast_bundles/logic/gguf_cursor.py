"""Reading GGUF's primitive values from bytes, never past their end."""

from __future__ import annotations

import struct
from typing import Final

from holdfast_protocol.errors import Code, HoldfastError

UINT32: Final = 4
INT32: Final = 5
FLOAT32: Final = 6
BOOL: Final = 7
STRING: Final = 8
ARRAY: Final = 9

_FORMATS: Final[dict[int, struct.Struct]] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    UINT32: struct.Struct("<I"),
    INT32: struct.Struct("<i"),
    FLOAT32: struct.Struct("<f"),
    BOOL: struct.Struct("<B"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
INTEGERS: Final = frozenset({0, 1, 2, 3, UINT32, INT32, 10, 11})
_U32: Final = _FORMATS[UINT32]
_U64: Final = _FORMATS[10]


def refuse(why: str) -> HoldfastError:
    """Return the one error of this format, saying ``why``."""
    return HoldfastError(Code.FORMAT_REFUSED, f"The model file is not acceptable: {why}.")


class Cursor:
    """A position in bytes; every read is bounded by what is left. Raises ``FORMAT_REFUSED``."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        end = self.position + count
        if end > len(self._data):
            raise refuse("its header ends early or is too large")
        data = self._data[self.position : end]
        self.position = end
        return data

    def u32(self) -> int:
        """Return the next unsigned 32-bit number."""
        value: int = _U32.unpack(self.take(4))[0]
        return value

    def u64(self) -> int:
        """Return the next unsigned 64-bit number."""
        value: int = _U64.unpack(self.take(8))[0]
        return value

    def string(self, most_bytes: int) -> bytes:
        """Return the next string, undecoded."""
        length = self.u64()
        if length > most_bytes:
            raise refuse(f"a text of {length} bytes where {most_bytes} are allowed")
        return self.take(length)

    def number(self, kind: int) -> int | float | bool:
        """Return the next scalar of ``kind``."""
        form = _form(kind)
        value: int | float = form.unpack(self.take(form.size))[0]
        if kind != BOOL:
            return value
        if value not in (0, 1):
            raise refuse("a truth value is neither 0 nor 1")
        return bool(value)

    def items(self, kind: int, count: int) -> bytes:
        """Return the bytes of the next ``count`` scalars of ``kind``."""
        return self.take(_form(kind).size * count)

    def skip_strings(self, count: int, most_bytes: int) -> None:
        """Move past the next ``count`` strings."""
        for _ in range(count):
            self.string(most_bytes)


def _form(kind: int) -> struct.Struct:
    form = _FORMATS.get(kind)
    if form is None:
        raise refuse(f"value type {kind} is unknown")
    return form
