"""The one choke point between a repository and python-tuf: every byte is checked before it passes.

python-tuf stores what it verified at once, so nothing that we would refuse may reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from holdfast_protocol.errors import Code, HoldfastError
from tuf.api.exceptions import DownloadError, DownloadHTTPError

from holdfast_bundles.site import lives, metadata, names
from holdfast_bundles.site.chain import issued_s
from holdfast_bundles.site.tufapi import FetcherInterface, Timestamp

Fetch = Callable[[str], bytes | None]
"""Name of a role file to its verbatim bytes, None if there is none; raises Unreachable."""

BASE: Final = "hf:///"


class Unreachable(DownloadError):  # noqa: N818  # a state of the line, not a fault of the bytes
    """The repository could not be asked: no connection, no answer in time. Not a refusal."""


class Refused(DownloadError):  # noqa: N818  # carries an error, in python-tuf's clothes
    """Bytes came and were refused; ``error`` says why."""

    def __init__(self, error: HoldfastError) -> None:
        super().__init__(error.message)
        self.error = error


class CheckedFetcher(FetcherInterface):
    """Fetches role files for python-tuf and for ourselves through the same checks."""

    def __init__(self, fetch: Fetch, site: str, now_s: float) -> None:
        self._ask = fetch
        self._site = site
        self._now_s = now_s

    def checked(self, name: str) -> bytes | None:
        """Return the checked bytes of ``name``, None if there are none.

        Raises :class:`Unreachable`, or ``HoldfastError`` as ``metadata.read`` does; a timestamp
        from the future is ``CLOCK_BEHIND``, and never stored.
        """
        role, _ = names.parse_file(name)
        try:
            data = self._ask(name)
        except OSError as error:
            raise Unreachable(f"{name} could not be fetched.") from error
        if data is None:
            return None
        signed = metadata.read(name, data, self._site).signed
        ahead = isinstance(signed, Timestamp) and issued_s(signed) > (
            self._now_s + lives.CLOCK_SLACK_S
        )
        if ahead:
            raise HoldfastError(
                Code.CLOCK_BEHIND, "The timestamp was issued in the future.", file=role
            )
        return data

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(BASE)
        try:
            data = self.checked(name)
        except HoldfastError as error:
            raise Refused(error) from error
        if data is None:
            raise DownloadHTTPError(f"{name} is not there", 404)
        return iter((data,))
