"""How far a transfer is and how fast it goes, from what was seen of it."""

from __future__ import annotations

from typing import Final

from holdfast_tui.logic import numbers

_CELLS: Final = 24
_WEIGHT: Final = 0.3


class Rate:
    """Bytes a second, smoothed; None until two different moments were seen."""

    def __init__(self) -> None:
        self.bytes_per_s: float | None = None
        self._last: tuple[int, float] | None = None

    def saw(self, done_bytes: int, now_s: float) -> None:
        """Take note of how much was done at a moment of a monotonic clock."""
        last, self._last = self._last, (done_bytes, now_s)
        if last is None or now_s <= last[1]:
            return
        if done_bytes < last[0]:  # another pass over the bytes has begun
            self.bytes_per_s = None
            return
        now = (done_bytes - last[0]) / (now_s - last[1])
        before = self.bytes_per_s
        self.bytes_per_s = now if before is None else before + _WEIGHT * (now - before)


def bar(label: str, done: int, total: int, bytes_per_s: float | None) -> str:
    """Return one line: label, bar, part, rate; without a bar where the total is not known."""
    if total <= 0:
        return f"{label} ..."
    part = min(done, total)
    filled = "#" * (part * _CELLS // total)
    words = [label, f"[{filled:-<{_CELLS}}]", f"{part * 100 // total:3d}%"]
    if total > 1:
        words.append(f"of {numbers.size(total)}")
    if bytes_per_s is not None:
        words.append(f"{numbers.size(round(bytes_per_s))}/s")
    return " ".join(words)
