"""A node's copy of the site's trust: refreshed on a scratch copy, swapped in whole. Does I/O.

Nothing that was refused ever touches the live tree: python-tuf persists each file as it verifies
it, and a refused refresh on the live folder would poison the next honest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.limits import ROOT_BYTES, SNAPSHOT_BYTES, TARGETS_BYTES, TIMESTAMP_BYTES
from tuf.api.exceptions import (
    DownloadError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
)

from holdfast_bundles.site import cache, lives, metadata, names
from holdfast_bundles.site.chain import (
    Bin,
    Chain,
    Files,
    broken_bin,
    read_bin,
    verify,
    verify_roots,
)
from holdfast_bundles.site.fetch import BASE, CheckedFetcher, Fetch, Refused, Unreachable
from holdfast_bundles.site.marks import Marks, check_marks, raised
from holdfast_bundles.site.outcome import Outcome, Refresh
from holdfast_bundles.site.tufapi import MetaFile, Snapshot, Updater, UpdaterConfig
from holdfast_bundles.site.view import SiteView, view_of

# A reader between the marks and the link of a swap sees a cache below its marks: it looks again.
_READS: Final = 3


class SiteTrust:
    """One folder of trust, pinned to a site's root; one writer at a time, any number of readers.

    Synchronous. ``root`` is the pinned root's exact bytes, as enrolment delivered them.
    """

    def __init__(self, directory: Path, root: bytes, site: str) -> None:
        """Open the folder; raises as ``verify_roots`` does if ``root`` is not this site's."""
        verify_roots({}, root, site)
        self._directory = directory
        self._root = root
        self._site = site
        self._known: Chain | None = None

    def refresh(self, fetch: Fetch, now_s: float) -> Refresh:
        """Ask the repository for what is new and believe it whole or not at all.

        ``fetch`` returns a role file's bytes by name, None if there is none, and raises
        ``Unreachable`` (or any ``OSError``) when it cannot ask; its own deadline bounds this
        call. Raises ``BUSY``, ``DISK_FULL`` or ``STORE_FAILED``; all else is an outcome.
        """
        with cache.store_errors(), cache.locked(self._directory):
            held = _load(self._directory, self._root, self._site, self._known)
            if held.marks is None:
                return Refresh(outcome=Outcome.DAMAGED, reason="The marks are lost; enrol again.")
            if now_s + lives.CLOCK_SLACK_S < held.marks.issued_s:
                return Refresh(
                    outcome=Outcome.CLOCK_BEHIND, reason="The clock is behind what was signed."
                )
            try:
                return self._attempt(held, held.marks, fetch, now_s)
            finally:
                cache.drop_scratch(self._directory)

    def view(self, now_s: float) -> SiteView:
        """Return what the cache says at ``now_s``, without network and without writing."""
        with cache.store_errors():
            view, chain = _look(self._directory, self._root, self._site, now_s, self._known)
        self._known = chain or self._known
        return view

    def accept_denial(self, data: bytes) -> None:
        """Keep a denial that came by any way (stick, peer, desired state), controller or not.

        Raises ``BAD_SIGNATURE``, ``SITE_BINDING`` and what reading raises; ``METADATA_MISSING``
        before the first refresh, when there is no frame to check it against.
        """
        with cache.store_errors(), cache.locked(self._directory):
            held = _load(self._directory, self._root, self._site, self._known)
            if isinstance(held.chain, HoldfastError):
                raise held.chain
            one = read_bin(held.chain.frame, data)
            if names.bin_prefix(one.role) != "no":
                raise HoldfastError(Code.SITE_BINDING, f"{one.role} is no denial.", file=one.role)
            cache.write_denial(self._directory, one.role, data)

    def seed(self, marks: Marks) -> None:
        """Set the marks and denials that enrolment delivers, before the first refresh.

        Without them a stolen online key could show a new node a repository of long ago. Raises
        ``ALREADY_EXISTS`` once there are marks.
        """
        with cache.store_errors(), cache.locked(self._directory):
            if cache.read_marks(self._directory, self._site) != Marks(site=self._site):
                raise HoldfastError(Code.ALREADY_EXISTS, "This node has its marks already.")
            cache.write_marks(self._directory, marks)

    def _attempt(self, held: _Held, marks: Marks, fetch: Fetch, now_s: float) -> Refresh:
        scratch = cache.new_scratch(self._directory)
        fetcher = CheckedFetcher(fetch, self._site, now_s)
        try:
            _update(scratch, fetcher, self._root)
            _complete(scratch, fetcher, self._site)
            files = cache.read_files(scratch)
            chain = verify(files, self._root, self._site, self._known)
            check_marks(marks, chain)
        except Unreachable as error:
            return _offline(held, now_s, str(error))
        except ExpiredMetadataError as error:
            return _refused(held, Outcome.EXPIRED, _file_of(error), str(error))
        except Refused as error:
            return _refused(held, Outcome.REFUSED, error.error.file, error.error.message)
        except HoldfastError as error:
            return _refused(held, Outcome.REFUSED, error.file, error.message)
        except (RepositoryError, DownloadError) as error:
            return _refused(held, Outcome.REFUSED, None, str(error))
        late = chain.expired(now_s)
        if late is not None:
            return _refused(held, Outcome.EXPIRED, late, f"{late} has passed its date.")
        changed = files != held.files or isinstance(held.chain, HoldfastError) or held.below
        if changed:
            cache.swap(self._directory, scratch, raised(marks, chain))
        self._forget_arrived(held.arrived, chain)
        self._known = chain
        return Refresh(
            outcome=Outcome.FRESH, snapshot_version=chain.snapshot.version, changed=changed
        )

    def _forget_arrived(self, arrived: Sequence[Bin], chain: Chain) -> None:
        for one in arrived:
            listed = chain.bins.get(one.role)
            if listed is not None and listed.broken is None and listed.version >= one.version:
                cache.drop_denial(self._directory, one.role)


def load_view(directory: Path, root: bytes, site: str, now_s: float) -> SiteView:
    """Return the view of another process's trust folder, opened for reading only."""
    verify_roots({}, root, site)
    with cache.store_errors():
        return _look(directory, root, site, now_s, None)[0]


class _Held:
    """What lies in a trust folder: files, the chain or why there is none, marks, arrivals."""

    def __init__(
        self, files: Files, chain: Chain | HoldfastError, marks: Marks | None, arrived: list[Bin]
    ) -> None:
        self.files = files
        self.chain = chain
        self.marks = marks
        self.arrived = arrived

    @property
    def below(self) -> bool:
        """Whether the cache is older than its marks."""
        return self.view(0.0).health is Outcome.DAMAGED

    def view(self, now_s: float) -> SiteView:
        """The view of it at ``now_s``."""
        if self.marks is None:
            lost = HoldfastError(Code.METADATA_MISSING, "The marks are lost; enrol again.")
            return view_of(lost, Marks(site=""), now_s)
        return view_of(self.chain, self.marks, now_s, self.arrived)


def _look(
    directory: Path, root: bytes, site: str, now_s: float, known: Chain | None
) -> tuple[SiteView, Chain | None]:
    for _ in range(_READS - 1):
        try:
            held = _load(directory, root, site, known)
        except FileNotFoundError:
            continue  # the tree was swapped away under this reader
        view = held.view(now_s)
        if view.health is not Outcome.DAMAGED:
            return view, view.chain
    held = _load(directory, root, site, known)
    view = held.view(now_s)
    return view, view.chain


def _load(directory: Path, root: bytes, site: str, known: Chain | None) -> _Held:
    # Marks first: a tree read later can only be newer than they are.
    marks = cache.read_marks(directory, site)
    name = cache.current_tree(directory)
    files = cache.read_files(directory / name) if name is not None else Files(roots={}, roles={})
    try:
        chain = verify(files, root, site, known)
    except HoldfastError as error:
        return _Held(files, error, marks, [])
    if marks is None:
        # Marks that cannot be read are made again from a cache that verifies.
        marks = raised(Marks(site=site), chain)
    arrived = []
    for role, data in cache.read_denials(directory).items():
        try:
            arrived.append(read_bin(chain.frame, data))
        except HoldfastError as error:
            # It was believed when it came; since then its officer may have left. It still denies.
            arrived.append(broken_bin(role, error.message))
    return _Held(files, chain, marks, arrived)


def _update(scratch: Path, fetcher: CheckedFetcher, root: bytes) -> None:
    config = UpdaterConfig(
        root_max_length=ROOT_BYTES,
        timestamp_max_length=TIMESTAMP_BYTES,
        snapshot_max_length=SNAPSHOT_BYTES,
        targets_max_length=TARGETS_BYTES,
    )
    Updater(str(scratch), BASE, fetcher=fetcher, config=config, bootstrap=root).refresh()


def _complete(scratch: Path, fetcher: CheckedFetcher, site: str) -> None:
    """Fetch every listed frame file and bin that the scratch copy does not hold yet."""
    files = cache.read_files(scratch)
    listed: Snapshot = metadata.read_role("snapshot", files.roles["snapshot"], site).signed
    roles = {name.removesuffix(".json"): meta for name, meta in listed.meta.items()}
    for role, meta in sorted(roles.items()):
        if names.is_role(role) and not _is_listed(meta, files.roles.get(role)):
            cache.put(scratch, role, _asked(fetcher, role, meta))


def _asked(fetcher: CheckedFetcher, role: str, meta: MetaFile) -> bytes | None:
    try:
        return fetcher.checked(names.file_name(role, meta.version))
    except HoldfastError:
        if names.bin_prefix(role) is None:
            raise
        return None  # one bad bin is broken, and refuses nothing else


def _is_listed(meta: MetaFile, data: bytes | None) -> bool:
    if data is None:
        return False
    try:
        meta.verify_length_and_hashes(data)
    except LengthOrHashMismatchError:
        return False
    return meta.hashes is not None


def _offline(held: _Held, now_s: float, why: str) -> Refresh:
    view = held.view(now_s)
    return Refresh(
        outcome=view.health, reason=view.reason or why, snapshot_version=view.snapshot_version
    )


def _refused(held: _Held, outcome: Outcome, file: str | None, reason: str) -> Refresh:
    version = 0 if isinstance(held.chain, HoldfastError) else held.chain.snapshot.version
    return Refresh(outcome=outcome, file=file, reason=reason, snapshot_version=version)


def _file_of(error: ExpiredMetadataError) -> str:
    """python-tuf names the file in its text only: "New targets is expired"."""
    return str(error).removesuffix(" is expired").split(" ")[-1].removesuffix(".json")
