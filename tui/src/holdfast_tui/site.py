"""Which site and who: the folder of a site on this machine, and the identities in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import token

DEFAULT_SITE: Final = Path(".holdfast/site")
DEFAULT_WHO: Final = "operator-1"
APP_FILE: Final = "app.json"
"""Marks a credentials folder as an application's; written when its keys are made."""


class Site:
    """A site's folder; nothing in it is created here."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def credentials(self) -> Path:
        """The folder of identities."""
        return self.root / "creds"

    def check(self) -> None:
        """Raise ``SITE_UNKNOWN`` where there is no site."""
        if not self.credentials.is_dir():
            raise HoldfastError(Code.SITE_UNKNOWN, f"There is no site in {self.root}.")

    def identity(self, who: str) -> Path:
        """Return the credentials folder of ``who``; raises ``NOT_PERMITTED`` where there is none.

        A ``who`` with a slash is a folder by itself, wherever it lies.
        """
        if "/" in who:
            return Path(who)
        self.check()
        folder = self.credentials / token(who, "who")
        if not folder.is_dir():
            raise HoldfastError(
                Code.NOT_PERMITTED,
                f"This machine holds no credentials of {who}; it has {self._present()}.",
            )
        return folder

    def apps(self) -> list[str]:
        """Return the names of applications whose folders lie here, sorted."""
        return sorted(path.parent.name for path in self.credentials.glob(f"*/{APP_FILE}"))

    def daily_key(self, who: str) -> Path:
        """Return where a lab keeps an officer's daily signing key."""
        return self.root / "officers" / token(who, "who") / "daily.pem"

    def _present(self) -> str:
        names = sorted(path.name for path in self.credentials.iterdir() if path.is_dir())
        return ", ".join(names[:20]) or "none"


def cache_folder() -> Path:
    """Return where this user's programs may leave reports, not created."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "holdfast"
