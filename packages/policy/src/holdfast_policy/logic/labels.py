"""Labels: where data may be, how secret it is, what it is for; and how requests narrow them.

An application's signed record is the ceiling. A request may narrow it, never widen it; what it
leaves out is the ceiling, never "anywhere". Joining two labels gives the label of data made from
both. Classification is compared within one scheme only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

import msgspec
from holdfast_protocol.codec import encode
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import is_token
from holdfast_protocol.limits import JURISDICTIONS_PER_LABEL

from holdfast_policy.logic.registry import Registry

LEVEL_MAX: Final = 100
_LEVEL: Final = re.compile(r"0|[1-9][0-9]{0,2}")
_BLANK: Final = " \t"


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """A level within a scheme; the site's own scheme has no name."""

    scheme: str = ""
    level: int = 0


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """Where data may be (an empty set is nowhere), how secret it is, what it may be used for."""

    residency: frozenset[str]
    classification: Classification
    purposes: frozenset[str]

    def digest(self) -> str:
        """Return ``sha256:<hex>`` of the label; equal labels have equal digests."""
        plain = {
            "classification": [self.classification.scheme, self.classification.level],
            "purposes": sorted(self.purposes),
            "residency": sorted(self.residency),
        }
        return "sha256:" + hashlib.sha256(encode(plain)).hexdigest()


class Narrowing(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of its own data, verbatim; None where it says nothing."""

    residency: str | None = None
    classification: str | None = None
    purpose: str | None = None


def parse_classification(text: int | str) -> Classification:
    """Return ``N`` or ``SCHEME:N`` as a classification; raises ``LABEL_REFUSED``."""
    scheme, colon, level = str(text).strip(_BLANK).rpartition(":")
    if not _LEVEL.fullmatch(level) or int(level) > LEVEL_MAX or (colon and not is_token(scheme)):
        raise _refused(f"classification {str(text)[:80]!a} is not [SCHEME:]LEVEL")
    return Classification(scheme=scheme, level=int(level))


def ceiling(
    registry: Registry,
    residency: Iterable[str],
    classification: int | str,
    purposes: Iterable[str],
) -> Label:
    """Return the ceiling a record states; raises ``LABEL_REFUSED`` for an id not registered."""
    places = frozenset(residency)
    for place in sorted(places):
        if place not in registry:
            raise _refused(f"jurisdiction {place[:80]!a} of the record is not registered")
    return Label(
        residency=registry.widest(registry.territory(places)),
        classification=parse_classification(classification),
        purposes=frozenset(purposes),
    )


def join(registry: Registry, one: Label, other: Label) -> Label:
    """Return the label of data made from both: common territory, higher level, common purposes.

    Territory is compared by what it covers, so Germany within the Union is Germany. Raises
    ``LABEL_REFUSED`` for two schemes of classification: without a mapping nothing says which is
    higher.
    """
    if one.classification.scheme != other.classification.scheme:
        raise _refused(
            f"classifications {one.classification.scheme!a} and {other.classification.scheme!a} "
            "cannot be compared"
        )
    common = registry.territory(one.residency) & registry.territory(other.residency)
    return Label(
        residency=registry.widest(common),
        classification=max(one.classification, other.classification, key=lambda c: c.level),
        purposes=one.purposes & other.purposes,
    )


def narrow(registry: Registry, top: Label, said: Narrowing) -> Label:
    """Return the label of a request under the ceiling ``top``.

    Outer white space is not significant. Raises ``LABEL_REFUSED`` for what is unknown, empty or
    wider than the ceiling. A level below the ceiling is taken but handled at the ceiling: an
    application cannot make its own data less secret, and so no statement opens a node to it.
    """
    residency = top.residency
    if said.residency is not None:
        residency = _narrow_residency(registry, top, said.residency)
    purposes = top.purposes
    if said.purpose is not None:
        purposes = frozenset(_items(said.purpose, "purpose"))
        if not purposes <= top.purposes:
            raise _refused("the purpose is not one of the application's")
    level = top.classification
    if said.classification is not None:
        level = parse_classification(said.classification)
        if level.scheme != top.classification.scheme:
            raise _refused("the classification is of another scheme than the application's")
        if level.level > top.classification.level:
            raise _refused("the classification is above the application's")
    return join(registry, top, Label(residency=residency, classification=level, purposes=purposes))


def _narrow_residency(registry: Registry, top: Label, text: str) -> frozenset[str]:
    places = _items(text, "residency")
    for place in places:
        if place not in registry:
            raise _refused(f"jurisdiction {place[:80]!a} is not registered")
        if not registry.covers(top.residency, place):
            raise _refused(f"{place} is beyond the application's residency")
    return frozenset(places)


def _items(text: str, what: str) -> list[str]:
    """Return the comma-separated items of ``text``; raises ``LABEL_REFUSED`` for an empty one."""
    items = [item.strip(_BLANK) for item in text.split(",", JURISDICTIONS_PER_LABEL)]
    if len(items) > JURISDICTIONS_PER_LABEL or not all(items):
        raise _refused(f"the {what} has an empty item or more than {JURISDICTIONS_PER_LABEL}")
    return items


def _refused(why: str) -> HoldfastError:
    return HoldfastError(Code.LABEL_REFUSED, f"The label is refused: {why}.")
