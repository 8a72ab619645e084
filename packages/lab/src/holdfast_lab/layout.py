"""Where everything of a lab's site lies: one folder, and a short one for sockets."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths of a site below ``root``; nothing is created here."""

    root: Path

    @property
    def site_file(self) -> Path:
        return self.root / "site.json"

    @property
    def status_file(self) -> Path:
        return self.root / "lab" / "status.json"

    @property
    def incidents(self) -> Path:
        return self.root / "lab" / "incidents.jsonl"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def lock(self) -> Path:
        return self.root / "lab" / "lock"

    @property
    def officers(self) -> Path:
        return self.root / "officers"

    @property
    def store(self) -> Path:
        return self.root / "store"

    def credentials(self, who: str) -> Path:
        return self.root / "creds" / who

    def part(self, name: str) -> Path:
        """The folder of one program: its configuration, keys and state."""
        return self.root / "parts" / name

    @property
    def runtime(self) -> Path:
        """Folder for sockets: a socket's path may have 107 bytes at most."""
        base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        name = hashlib.sha256(str(self.root).encode()).hexdigest()[:10]
        return Path(base) / f"hf-{name}"
