"""Labels: join is a semilattice, and no narrowing ever allows what the ceiling denies."""

from __future__ import annotations

import pytest
from holdfast_policy.logic.labels import (
    Classification,
    Label,
    Narrowing,
    ceiling,
    join,
    narrow,
    parse_classification,
)
from holdfast_policy.logic.registry import Registry, of_zones
from holdfast_policy.port import AppFacts, ModelFacts, NodeFacts, Question
from holdfast_protocol.errors import Code, HoldfastError
from holdfast_protocol.ids import Jurisdiction, Zone
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.policy.policy_worlds import quiet


def jurisdictions(*names: str) -> tuple[Jurisdiction, ...]:
    return tuple(map(Jurisdiction, names))


# Two blocs that share a country, a country with two parts, one alone.
PARENTS = {
    Jurisdiction("BLOC-EU"): (),
    Jurisdiction("BLOC-NA"): (),
    Jurisdiction("DE"): jurisdictions("BLOC-EU", "BLOC-NA"),
    Jurisdiction("FR"): jurisdictions("BLOC-EU"),
    Jurisdiction("CH"): (),
    Jurisdiction("DE-BY"): jurisdictions("DE"),
    Jurisdiction("DE-BE"): jurisdictions("DE"),
}
ZONES = {"de": "DE", "fr": "FR", "ch": "CH", "by": "DE-BY"}
REGISTRY = Registry(PARENTS, {Zone(z): Jurisdiction(j) for z, j in ZONES.items()})
POLICY = quiet(REGISTRY)

names = st.sampled_from(sorted(PARENTS))
labels = st.builds(
    lambda places, level, purposes: Label(
        residency=REGISTRY.widest(REGISTRY.territory(places)),
        classification=Classification(level=level),
        purposes=frozenset(purposes),
    ),
    st.frozensets(names),
    st.integers(0, 4),
    st.frozensets(st.sampled_from(["triage", "billing", "study"])),
)


@given(labels, labels, labels)
def test_join_is_associative_commutative_idempotent(a: Label, b: Label, c: Label) -> None:
    def both(x: Label, y: Label) -> Label:
        return join(REGISTRY, x, y)

    assert both(a, b) == both(b, a)
    assert both(a, both(b, c)) == both(both(a, b), c)
    assert both(a, a) == a


@given(labels, labels, names)
def test_joined_data_may_be_only_where_both_may(a: Label, b: Label, where: str) -> None:
    joined = join(REGISTRY, a, b)
    both = REGISTRY.covers(a.residency, where) and REGISTRY.covers(b.residency, where)
    assert REGISTRY.covers(joined.residency, where) == both
    assert joined.classification.level == max(a.classification.level, b.classification.level)
    assert joined.purposes == a.purposes & b.purposes


def test_join_by_territory() -> None:
    eu = Label(
        residency=frozenset({"BLOC-EU"}), classification=Classification(), purposes=frozenset()
    )
    na = Label(
        residency=frozenset({"BLOC-NA"}), classification=Classification(), purposes=frozenset()
    )
    assert join(REGISTRY, eu, na).residency == {"DE"}


def test_two_schemes_cannot_be_compared() -> None:
    nato = ceiling(REGISTRY, ["DE"], "nato:2", [])
    own = ceiling(REGISTRY, ["DE"], 2, [])
    with pytest.raises(HoldfastError) as caught:
        join(REGISTRY, nato, own)
    assert caught.value.code is Code.LABEL_REFUSED


blanks = st.text(alphabet=" \t", max_size=3)
texts = st.one_of(
    st.none(),
    st.tuples(blanks, st.lists(names, min_size=1, max_size=3).map(", ".join), blanks).map("".join),
)
narrowings = st.builds(
    Narrowing,
    residency=texts,
    classification=st.one_of(st.none(), st.integers(0, 5).map(str)),
    purpose=st.one_of(st.none(), st.sampled_from(["triage", "billing", "other"])),
)


def narrowed(top: Label, said: Narrowing) -> Label | None:
    try:
        return narrow(REGISTRY, top, said)
    except HoldfastError:
        return None


@given(labels, narrowings, st.sampled_from(sorted(ZONES)), names, st.integers(0, 5))
def test_a_narrowed_label_never_allows_what_the_ceiling_denies(
    top: Label, said: Narrowing, zone: str, where: str, cleared: int
) -> None:
    label = narrowed(top, said)
    if label is None:
        return

    def allowed(of: Label) -> bool:
        question = Question(
            act="infer",
            app=AppFacts(app="triage", zone=zone, aliases=frozenset({"chat"})),
            alias="chat",
            label=of,
            node=NodeFacts(
                node="n1",
                jurisdiction=where,
                zones=frozenset({zone}),
                not_after_s=0,
                clearances=(Classification(level=cleared),),
            ),
            model=ModelFacts(digest="sha256:00"),
            now_s=1.0,
        )
        return POLICY.decide(question).allowed

    assert allowed(top) or not allowed(label)


TOP = ceiling(REGISTRY, ["BLOC-EU"], 3, ["triage", "study"])


@pytest.mark.parametrize(
    ("said", "residency", "purposes"),
    [
        (Narrowing(), {"BLOC-EU"}, {"triage", "study"}),
        (Narrowing(residency=" DE\t"), {"DE"}, {"triage", "study"}),
        (Narrowing(residency="DE-BY, FR"), {"DE-BY", "FR"}, {"triage", "study"}),
        (Narrowing(residency="BLOC-EU"), {"BLOC-EU"}, {"triage", "study"}),
        (Narrowing(purpose="  study "), {"BLOC-EU"}, {"study"}),
        (Narrowing(classification=" 3 "), {"BLOC-EU"}, {"triage", "study"}),
        (Narrowing(classification="1"), {"BLOC-EU"}, {"triage", "study"}),
    ],
)
def test_narrowing(said: Narrowing, residency: set[str], purposes: set[str]) -> None:
    label = narrow(REGISTRY, TOP, said)
    assert label.residency == residency
    assert label.purposes == purposes
    assert label.classification.level == 3


@pytest.mark.parametrize(
    "said",
    [
        Narrowing(residency=""),
        Narrowing(residency="  "),
        Narrowing(residency="DE,"),
        Narrowing(residency="CH"),
        Narrowing(residency="de"),
        Narrowing(residency="D\u0415"),
        Narrowing(residency="DE\u00a0"),
        Narrowing(residency="DE\u200b"),
        Narrowing(residency="BLOC-NA"),
        Narrowing(residency="*"),
        Narrowing(residency="XX"),
        Narrowing(residency=",".join(["DE"] * 65)),
        Narrowing(purpose="billing"),
        Narrowing(purpose=""),
        Narrowing(classification="4"),
        Narrowing(classification="-1"),
        Narrowing(classification="01"),
        Narrowing(classification="nato:1"),
        Narrowing(classification=""),
        Narrowing(classification="\u0663"),
    ],
)
def test_widening_and_unknown_are_refused(said: Narrowing) -> None:
    with pytest.raises(HoldfastError) as caught:
        narrow(REGISTRY, TOP, said)
    assert caught.value.code is Code.LABEL_REFUSED


def test_an_empty_residency_is_nowhere() -> None:
    nowhere = ceiling(REGISTRY, [], 0, [])
    assert not any(REGISTRY.covers(nowhere.residency, name) for name in PARENTS)


def test_a_record_naming_the_unknown_is_refused() -> None:
    with pytest.raises(HoldfastError):
        ceiling(REGISTRY, ["DE", "XX"], 0, [])


def test_digest_is_of_the_value() -> None:
    one = ceiling(REGISTRY, ["DE", "FR"], 1, ["a", "b"])
    same = ceiling(REGISTRY, ["FR", "DE", "DE-BY"], "1", ["b", "a"])
    assert one.digest() == same.digest()
    assert one.digest() != ceiling(REGISTRY, ["DE"], 1, ["a", "b"]).digest()


def test_classification_texts() -> None:
    assert parse_classification("nato:2") == Classification(scheme="nato", level=2)
    for bad in ("nato:", ":1", "NATO:1", "101", "1.0", "a:b:1"):
        with pytest.raises(HoldfastError):
            parse_classification(bad)


def test_registry_refuses_cycles_unknown_parents_and_bad_ids() -> None:
    a, b = jurisdictions("AA", "BB")
    for parents in ({a: (b,), b: (a,)}, {a: (a,)}, {a: (b,)}, {Jurisdiction("de"): ()}):
        with pytest.raises(HoldfastError) as caught:
            Registry(parents, {})
        assert caught.value.code is Code.CONFIG_INVALID
    chain = {Jurisdiction(f"AA-{i}"): jurisdictions(f"AA-{i + 1}") for i in range(9)}
    with pytest.raises(HoldfastError):
        Registry({**chain, Jurisdiction("AA-9"): ()}, {})


def test_registry_of_zones() -> None:
    registry = of_zones({"by": "DE-BY", "ch": "CH", "gb": "GB"})
    assert registry.covers(["DE"], "DE-BY")
    assert registry.covers(["BLOC-EU"], "DE-BY")
    assert not registry.covers(["BLOC-EU"], "CH")
    assert not registry.covers(["DE-BY"], "DE")
    assert "UK" not in registry
    assert registry.jurisdiction_of("by") == "DE-BY"
    assert registry.jurisdiction_of("fr") is None
    with pytest.raises(HoldfastError):
        of_zones({"de": "Germany"})
