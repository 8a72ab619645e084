"""A node's trust folder in memory: asked for file by file over the bus, believed whole or not.

The verification is the product's own, from the pinned root to every signature; only the disk and
python-tuf's downloader, which reads the wall clock, are left out. The same bytes are verified once
a process: the result is a value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from holdfast_agent.logic.trust import NodeTrust
from holdfast_bundles.site import Marks, Outcome, SiteView
from holdfast_bundles.site.chain import Chain, Files, verify
from holdfast_bundles.site.marks import check_marks, raised
from holdfast_bundles.site.metadata import read_role
from holdfast_bundles.site.names import bin_prefix, file_name, is_role
from holdfast_bundles.site.tufapi import Snapshot, Timestamp
from holdfast_bundles.site.view import view_of
from holdfast_controller.logic import io
from holdfast_protocol.codec import decode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.messages import TrustAnswer

from tests.sim.ceremony import SITE, ceremony
from tests.sim.ground import Ground
from tests.sim.network import Hub

ANSWER_S = 3.0
RoleFiles = tuple[tuple[str, bytes], ...]


@lru_cache(maxsize=4096)
def _verified(files: RoleFiles) -> Chain | HoldfastError:
    try:
        return verify(Files(roots={}, roles=dict(files)), ceremony().pinned_root, SITE)
    except HoldfastError as error:
        return error


@lru_cache(maxsize=4096)
def _listed(snapshot: bytes) -> tuple[tuple[str, int], ...]:
    listed: Snapshot = read_role("snapshot", snapshot, SITE).signed
    return tuple(
        (name.removesuffix(".json"), meta.version) for name, meta in sorted(listed.meta.items())
    )


@lru_cache(maxsize=4096)
def _versions(timestamp: bytes) -> tuple[int, int]:
    signed: Timestamp = read_role("timestamp", timestamp, SITE).signed
    return signed.version, signed.snapshot_meta.version


@dataclass
class TrustStore:
    """What of the site's trust lies on one node's disk."""

    node: str
    roles: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    marks: Marks = field(default_factory=lambda: Marks(site=SITE))

    def view(self, now_s: float) -> SiteView:
        """Return what the node believes at ``now_s``."""
        missing = HoldfastError(Code.METADATA_MISSING, "There is no cache yet.")
        chain = _verified(tuple(sorted(self.roles.items()))) if self.roles else missing
        return view_of(chain, self.marks, now_s)

    def offline(self, now_s: float) -> NodeTrust:
        """Return the trust as it stands without the controller."""
        view = self.view(now_s)
        return NodeTrust(self.node, view.health, view)

    def enrol(self, files: dict[str, bytes], now_s: float) -> None:
        """Begin with what the site serves now, as enrolment delivers it."""
        _, snapshot = _versions(files["timestamp.json"])
        roles = {
            "timestamp": files["timestamp.json"],
            "snapshot": files[file_name("snapshot", snapshot)],
        }
        versions = dict(_listed(roles["snapshot"]))
        roles |= {role: files[file_name(role, number)] for role, number in versions.items()}
        self.believe(roles, versions, now_s)

    def believe(self, roles: dict[str, bytes], versions: dict[str, int], now_s: float) -> NodeTrust:
        """Take over ``roles`` if all of them verify and nothing falls back."""
        chain = _verified(tuple(sorted(roles.items())))
        if isinstance(chain, HoldfastError):
            return NodeTrust(self.node, Outcome.REFUSED, self.view(now_s))
        try:
            check_marks(self.marks, chain)
        except HoldfastError:
            return NodeTrust(self.node, Outcome.REFUSED, self.view(now_s))
        self.marks = raised(self.marks, chain)
        self.roles, self.versions = roles, versions
        return NodeTrust(self.node, Outcome.FRESH, self.view(now_s))


@dataclass
class Refreshing:
    """One refresh: timestamp, snapshot, then every listed file that is not held, one by one."""

    ground: Ground
    hub: Hub
    store: TrustStore
    done: Callable[[NodeTrust], None]
    _wanted: list[tuple[str, int]] = field(default_factory=list)
    _roles: dict[str, bytes] = field(default_factory=dict)
    _versions: dict[str, int] = field(default_factory=dict)
    _asked: int = 0
    _over: bool = False

    def start(self) -> None:
        """Ask for the timestamp."""
        self._ask("timestamp.json", self._timestamp)

    def _timestamp(self, content: bytes | None) -> None:
        if content is None:
            self._end(self._refused())
            return
        self._roles["timestamp"] = content
        _, snapshot = _versions(content)
        self._ask(file_name("snapshot", snapshot), self._snapshot)

    def _snapshot(self, content: bytes | None) -> None:
        if content is None:
            self._end(self._refused())
            return
        self._roles["snapshot"] = content
        for role, version in _listed(content):
            if self.store.versions.get(role) == version:
                self._roles[role] = self.store.roles[role]
                self._versions[role] = version
            elif is_role(role):
                self._wanted.append((role, version))
        self._next()

    def _next(self) -> None:
        if not self._wanted:
            self._end(self.store.believe(self._roles, self._versions, self.ground.now_s))
            return
        role, version = self._wanted.pop(0)

        def found(content: bytes | None) -> None:
            if content is not None:
                self._roles[role] = content
                self._versions[role] = version
            elif bin_prefix(role) is None:
                self._end(self._refused())
                return
            # A bin that was replaced while this refresh ran is broken, and refuses nothing else.
            self._next()

        self._ask(file_name(role, version), found)

    def _refused(self) -> NodeTrust:
        return NodeTrust(self.store.node, Outcome.REFUSED, self.store.view(self.ground.now_s))

    def _ask(self, name: str, found: Callable[[bytes | None], None]) -> None:
        self._asked += 1
        number = self._asked

        def make(call: int) -> io.AnyInput:
            return io.TrustAsked(call=call, node=self.store.node, name=name)

        def answered(body: bytes) -> None:
            if self._over or number != self._asked:
                return
            found(decode(body, TrustAnswer).content)

        def late() -> None:
            if not self._over and number == self._asked:
                self._end(self.store.offline(self.ground.now_s))

        self.hub.ask(self.store.node, make, answered)
        self.ground.after(ANSWER_S, late)

    def _end(self, trust: NodeTrust) -> None:
        self._over = True
        self.done(trust)
