"""The closed registry of jurisdictions: which lies in which, and which zone is whose.

Ids match exactly: no aliases, no case folding, no normalisation (``UK`` is not ``GB``, ``eu`` is
nothing). A jurisdiction may have several parents (a country in two blocs); what is not listed is
covered by nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import Jurisdiction, Zone, jurisdiction, token

DEPTH_MAX: Final = 8
ENTRIES_MAX: Final = 1024

BLOC_EU: Final = Jurisdiction("BLOC-EU")
# fmt: off
_EU_MEMBERS: Final = (
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU",
    "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
)
# fmt: on


class Registry:
    """The jurisdictions of a site; immutable once built."""

    def __init__(
        self,
        parents: Mapping[Jurisdiction, Collection[Jurisdiction]],
        zones: Mapping[Zone, Jurisdiction],
    ) -> None:
        """Take ``parents`` (every jurisdiction is a key) and the jurisdiction of every zone.

        Raises ``CONFIG_INVALID`` for an id that is none, a parent or zone's jurisdiction that is
        not listed, a cycle, or more than ``DEPTH_MAX`` levels.
        """
        if len(parents) > ENTRIES_MAX:
            raise _invalid(f"it has more than {ENTRIES_MAX} entries")
        for name, above in parents.items():
            _named(jurisdiction, name)
            for parent in above:
                if parent not in parents:
                    raise _invalid(f"{parent} above {name} is not listed")
        for zone, where in zones.items():
            _named(token, zone)
            if where not in parents:
                raise _invalid(f"{where} of zone {zone} is not listed")
        self._parents = {name: frozenset(above) for name, above in parents.items()}
        self._zones = dict(zones)
        self._above = {name: _ancestors(name, parents) for name in parents}
        self._below = _inverted(self._above)

    @property
    def parents(self) -> Mapping[Jurisdiction, frozenset[Jurisdiction]]:
        """Every jurisdiction with its parents, as they were listed."""
        return MappingProxyType(self._parents)

    @property
    def zones(self) -> Mapping[Zone, Jurisdiction]:
        """Every zone's jurisdiction, as they were listed."""
        return MappingProxyType(self._zones)

    def __contains__(self, name: object) -> bool:
        return name in self._above

    def covers(self, residency: Collection[str], where: str) -> bool:
        """Tell whether data that may be in ``residency`` may be in ``where``; unknown is no."""
        return not self._above.get(Jurisdiction(where), frozenset()).isdisjoint(residency)

    def territory(self, residency: Iterable[str]) -> frozenset[Jurisdiction]:
        """Return everything that ``residency`` covers; unknown ids cover nothing."""
        covered: set[Jurisdiction] = set()
        for name in residency:
            covered |= self._below.get(Jurisdiction(name), frozenset())
        return frozenset(covered)

    def widest(self, territory: Collection[Jurisdiction]) -> frozenset[Jurisdiction]:
        """Return the fewest ids that cover ``territory``: those with nothing of it above them."""
        held = frozenset(territory)
        return frozenset(name for name in held if self._above[name] & held == {name})

    def jurisdiction_of(self, zone: str) -> Jurisdiction | None:
        """Return the jurisdiction of ``zone``, or None where the registry has no such zone."""
        return self._zones.get(Zone(zone))


def of_zones(zones: Mapping[str, str]) -> Registry:
    """Return the registry a site has before officers sign one of its own.

    It knows the zones' jurisdictions, the countries of those that are parts of one, and the
    European Union with its members. Raises ``CONFIG_INVALID`` as :class:`Registry`.
    """
    parents: dict[Jurisdiction, tuple[Jurisdiction, ...]] = {BLOC_EU: ()}
    for member in _EU_MEMBERS:
        parents[Jurisdiction(member)] = (BLOC_EU,)
    for where in zones.values():
        country, dash, _ = where.partition("-")
        if dash and country != "BLOC":
            parents.setdefault(Jurisdiction(country), ())
            parents[Jurisdiction(where)] = (Jurisdiction(country),)
        else:
            parents.setdefault(Jurisdiction(where), ())
    return Registry(parents, {Zone(zone): Jurisdiction(where) for zone, where in zones.items()})


def _ancestors(
    name: Jurisdiction, parents: Mapping[Jurisdiction, Collection[Jurisdiction]]
) -> frozenset[Jurisdiction]:
    """Return ``name`` and all above it; raises ``CONFIG_INVALID`` for a cycle or great depth."""
    found = {name}
    level = {name}
    for _ in range(DEPTH_MAX):
        level = {parent for below in level for parent in parents[below]}
        if not level:
            return frozenset(found)
        if name in level:
            raise _invalid(f"{name} lies in itself")
        found |= level
    raise _invalid(f"{name} has a cycle above it, or more than {DEPTH_MAX} levels")


def _inverted(
    above: Mapping[Jurisdiction, frozenset[Jurisdiction]],
) -> dict[Jurisdiction, frozenset[Jurisdiction]]:
    below: dict[Jurisdiction, set[Jurisdiction]] = {name: set() for name in above}
    for name, ancestors in above.items():
        for ancestor in ancestors:
            below[ancestor].add(name)
    return {name: frozenset(names) for name, names in below.items()}


def _named(check: Callable[[str], str], name: str) -> None:
    try:
        check(name)
    except HoldfastError as error:
        raise _invalid(error.message.rstrip(".")) from error


def _invalid(why: str) -> HoldfastError:
    return HoldfastError(Code.CONFIG_INVALID, f"The registry of jurisdictions is wrong: {why}.")
