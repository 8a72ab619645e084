"""The driver for the plain profile: what goes to the terminal is ASCII, whatever drew it."""

from __future__ import annotations

from textual.drivers.linux_driver import LinuxDriver


class SerialDriver(LinuxDriver):
    """A line that carries bytes below 128 and nothing else."""

    def write(self, data: str) -> None:
        """Write ``data``; a character outside ASCII becomes ``?``."""
        super().write(data.encode("ascii", "replace").decode("ascii"))
