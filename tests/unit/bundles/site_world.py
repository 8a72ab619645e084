"""A site in memory for tests: officers with keys made at run time, a controller's repository."""

from __future__ import annotations

import base64
import copy
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from holdfast_bundles.site import (
    AppRecord,
    Approval,
    Ed25519Key,
    Frame,
    FrameSpec,
    Previous,
    Proposal,
    RequestSignature,
    SiteCertificate,
    SiteTrust,
    Standing,
    Unreachable,
    accept,
    assemble,
    build_frame,
    check_signature,
    generate_key,
    load_frame,
    officer,
    previous,
    propose_allow,
    propose_deny,
    sign_payload,
    site_repository,
    stamp,
)
from holdfast_bundles.site.metadata import binding, file_bytes, read_role, unsigned, when
from holdfast_bundles.site.model import sha256_hex
from holdfast_bundles.site.tufapi import (
    MetaFile,
    Signature,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

SITE: Final = "alpha"
ZONES: Final = {"de": "DE", "fr": "FR"}
# python-tuf reads the wall clock by itself, so the world begins now; later moments are handed in.
NOW: Final = float(int(time.time()))
HOUR: Final = 3600
DAY: Final = 24 * HOUR
GROUNDS: Final = Approval(vendor_root_version=1, vendor_targets_version=3, licence="Apache-2.0")


class Person:
    """An officer with both keys."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = generate_key()
        self.daily = generate_key()
        self.officer = officer(name, self.root.public_hex, self.daily.public_hex)


class Site:
    """Officers, the online key, and what the controller serves."""

    def __init__(self, people: list[Person], online: Ed25519Key, name: str = SITE) -> None:
        self.name = name
        self.people = people
        self.online = online
        self.last = Previous()
        self.repository = site_repository(name, self.ceremony())
        self.pinned = self.repository.files["1.root.json"]
        self.reachable = True
        self.asked: list[str] = []
        self.publish(NOW)

    def rotate(self, people: list[Person], online: Ed25519Key | None = None) -> None:
        """Let the old officers and the new ones sign a new frame; the controller re-stamps."""
        before = self.people
        self.people, self.online = people, online or self.online
        version = self.frame.root.version + 1
        for role, data in self.ceremony(version).items():
            if role == "root":
                file = read_role(role, data, self.name)
                everyone = {p.name: p.root for p in [*before, *people]}
                data = signed_file(file.signed, *everyone.values())
            self.repository = self.repository.with_role(role, data)

    def ceremony(self, version: int = 1, threshold: int = 2) -> dict[str, bytes]:
        spec = FrameSpec(
            site=self.name,
            officers=tuple(p.officer for p in self.people),
            threshold=threshold,
            online_public=self.online.public_hex,
        )
        return {
            role: assemble(one, [sign_payload(one.payload, p.root) for p in self.people])
            for role, one in build_frame(spec, NOW, version).items()
        }

    @property
    def frame(self) -> Frame:
        return load_frame(self.repository.in_force(), self.name)

    def at(self, now_s: float = NOW) -> Standing:
        return Standing(frame=self.frame, current=self.repository.in_force(), now_s=now_s)

    def commit(self, proposal: Proposal, *who: int) -> bytes:
        """Let the named officers sign, accept, and put the file into the repository."""
        signatures: list[RequestSignature] = []
        for one in who:
            signature = sign_payload(proposal.payload, self.people[one].daily)
            signatures.append(check_signature(self.frame, proposal, signature, signatures))
        current = self.repository.in_force().get(proposal.role)
        data = accept(self.frame, proposal, signatures, current)
        self.repository = self.repository.with_role(proposal.role, data)
        return data

    def publish(self, now_s: float = NOW) -> None:
        stamped = stamp(self.repository.in_force(), self.online, now_s, self.last)
        self.last = previous(self.name, stamped)
        self.repository = self.repository.with_stamp(stamped)

    def allow(self, model: str, version: str = "1.0", data: bytes = b"{}") -> str:
        """Approve a model by two officers; return its digest."""
        self.commit(propose_allow(self.at(), model, version, data, GROUNDS), 0, 1)
        return f"sha256:{sha256_hex(data)}"

    def deny(self, what: str, who: int = 0) -> bytes:
        """Deny by one officer."""
        return self.commit(propose_deny(self.at(), what, "found unsafe"), who)

    def fetch(self, name: str) -> bytes | None:
        self.asked.append(name)
        if not self.reachable:
            raise Unreachable("no answer")
        return self.repository.read(name)

    def serving(self, **files: bytes | None) -> Callable[[str], bytes | None]:
        """Return a fetch that serves other bytes under some names (dots as ``__``)."""
        changed = {name.replace("__", ".").replace("_", "-"): data for name, data in files.items()}
        return lambda name: changed[name] if name in changed else self.fetch(name)

    def trust(self, directory: Path) -> SiteTrust:
        return SiteTrust(directory, self.pinned, self.name)


@cache
def _keys() -> tuple[tuple[Person, ...], Ed25519Key]:
    return tuple(Person(f"officer-{n}") for n in (1, 2, 3)), generate_key()


def new_site(name: str = SITE) -> Site:
    """Return a site of three officers, threshold two, with nothing approved.

    Keys and ceremony are made once per run; what a test changes is its own.
    """
    site = copy.copy(_first(name))
    site.asked = []
    return site


@cache
def _first(name: str) -> Site:
    people, online = _keys()
    return Site(list(people), online, name)


def certificate(node: str = "de-1", not_after_s: int = int(NOW) + 365 * DAY) -> SiteCertificate:
    return SiteCertificate(
        node=node,
        jurisdiction="DE",
        zones=("de",),
        nats_public="U" + "A" * 55,
        gateway_nats_public="U" + "B" * 55,
        x25519_public="ab" * 32,
        tls_spki_sha256="cd" * 32,
        limits={"requests": 100},
        not_after_s=not_after_s,
    )


def record(
    app: str = "desk",
    residency: tuple[str, ...] = ("DE",),
    classification: int | str = 0,
    purposes: tuple[str, ...] = (),
    serial: int = 1,
) -> AppRecord:
    return AppRecord(
        app=app,
        zone="de",
        residency=residency,
        classification=classification,
        purposes=purposes,
        aliases=("chat-small",),
        user_public="U" + "C" * 55,
        serial=serial,
    )


def tree(directory: Path) -> dict[str, bytes]:
    """Return every file of the believed tree, to compare before and after."""
    root = directory / "current"
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.json"))}


class Thief:
    """Someone with the controller's online key: may stamp anything, may approve nothing."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.files = dict(site.repository.files)

    def list(
        self, roles: Mapping[str, tuple[int, bytes]], timestamp: int = 2, snapshot: int = 2
    ) -> None:
        """Stamp a snapshot of what is in force with ``roles`` (version, bytes) put over it."""
        meta = {}
        for role, data in self.site.repository.in_force().items():
            if role != "root":
                version = read_role(role, data, self.site.name).signed.version
                meta[f"{role}.json"] = MetaFile.from_data(version, data, ["sha256"])
        for role, (version, data) in roles.items():
            meta[f"{role}.json"] = MetaFile.from_data(version, data, ["sha256"])
            self.files[f"{version}.{role}.json"] = data
        self.stamp(meta, timestamp, snapshot)

    def stamp(
        self, meta: dict[str, MetaFile], timestamp: int, snapshot: int, issued_s: float = NOW
    ) -> None:
        """Stamp exactly this list."""
        listed = Snapshot(
            version=snapshot,
            expires=when(NOW + 30 * DAY),
            meta=meta,
            unrecognized_fields=binding("snapshot", self.site.name),
        )
        data = signed_file(listed, self.site.online)
        fields = binding("timestamp", self.site.name)
        fields["x-hf"]["issued"] = int(issued_s)
        stamped = Timestamp(
            version=timestamp,
            expires=when(NOW + DAY),
            snapshot_meta=MetaFile.from_data(snapshot, data, ["sha256"]),
            unrecognized_fields=fields,
        )
        self.files[f"{snapshot}.snapshot.json"] = data
        self.files["timestamp.json"] = signed_file(stamped, self.site.online)

    def fetch(self, name: str) -> bytes | None:
        return self.files.get(name)


def signed_file(signed: Signed, *keys: Ed25519Key) -> bytes:
    """Return a role file signed by these keys, whatever it holds."""
    file = unsigned(signed)
    for key in keys:
        keyid = key.public.keyid
        file.signatures[keyid] = Signature(keyid, key.sign(file.signed_bytes))
    return file_bytes(file)


def bin_file(
    role: str, documents: Mapping[str, bytes], *keys: Ed25519Key, version: int = 1, site: str = SITE
) -> bytes:
    """Return a bin's file as officers could sign it, without asking whether they should."""
    targets = {
        path: TargetFile(
            len(data),
            {"sha256": sha256_hex(data)},
            path,
            {"custom": {"schema": 1, "document": base64.b64encode(data).decode()}},
        )
        for path, data in documents.items()
    }
    signed = Targets(
        version=version,
        expires=when(NOW + 400 * DAY),
        targets=targets,
        unrecognized_fields=binding(role, site),
    )
    return signed_file(signed, *keys)


def approval_file(site: Site, model: str, *who: int) -> tuple[str, bytes]:
    """Return role and file of a v1 approval that some officers signed, unknown to the site."""
    proposal = propose_allow(site.at(), model, "1.0", b"{}", GROUNDS)
    signatures = [sign_payload(proposal.payload, site.people[n].daily) for n in who]
    return proposal.role, assemble(proposal, signatures)
