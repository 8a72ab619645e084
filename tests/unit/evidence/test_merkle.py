"""The tree against the reference leaves of RFC 6962 and against a tree written the naive way."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
from holdfast_evidence.logic import merkle
from hypothesis import given
from hypothesis import strategies as st

REFERENCE_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243",
        "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
REFERENCE_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def record(index: int) -> bytes:
    return b"record %d" % index


@cache
def naive(start: int, end: int) -> bytes:
    """MTH of RFC 6962, 2.1, word by word."""
    count = end - start
    if count == 0:
        return hashlib.sha256(b"").digest()
    if count == 1:
        return hashlib.sha256(b"\x00" + record(start)).digest()
    k = 1
    while k * 2 < count:
        k *= 2
    return hashlib.sha256(b"\x01" + naive(start, start + k) + naive(start + k, end)).digest()


def hash_at(level: int, index: int) -> bytes:
    return naive(index << level, (index + 1) << level)


def edge(size: int) -> merkle.Edge:
    return merkle.Edge().grown(merkle.leaf_hash(record(n)) for n in range(size)).edge


def test_reference_roots() -> None:
    assert merkle.Edge().root().hex() == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    growing = merkle.Edge()
    for leaf, root in zip(REFERENCE_LEAVES, REFERENCE_ROOTS, strict=True):
        growing = growing.grown([merkle.leaf_hash(leaf)]).edge
        assert growing.root().hex() == root


def test_growing_reports_every_completed_subtree_once() -> None:
    grown = merkle.Edge().grown(merkle.leaf_hash(record(n)) for n in range(100))
    seen = dict(grown.completed)
    assert len(seen) == len(grown.completed)
    assert set(seen) == {
        merkle.Node(level, index) for level in range(1, 7) for index in range(100 >> level)
    }
    assert all(value == hash_at(*node) for node, value in seen.items())


def test_an_edge_read_back_is_the_edge_grown() -> None:
    for size in range(70):
        assert merkle.edge_at(size, hash_at) == edge(size)
        assert merkle.root_at(size, hash_at) == naive(0, size)


def test_every_inclusion_proof_to_66_leaves_and_no_other_place() -> None:
    for size in range(1, 67):
        root = naive(0, size)
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, hash_at)
            leaf = merkle.leaf_hash(record(index))
            for place in {index - 1, index, index + 1, 0, size - 1, size}:
                shown = merkle.verify_inclusion(
                    leaf=leaf, index=place, size=size, proof=proof, root=root
                )
                assert shown == (place == index)


def test_every_consistency_proof_to_66_leaves() -> None:
    for size in range(1, 67):
        for old in range(1, size + 1):
            proof = merkle.consistency_proof(old, size, hash_at)
            assert merkle.verify_consistency(
                old=old, size=size, proof=proof, old_root=naive(0, old), root=naive(0, size)
            )


def recalled(nodes: tuple[merkle.Node, ...]) -> merkle.HashAt:
    named = {node: hash_at(*node) for node in nodes}
    return lambda level, position: named[merkle.Node(level, position)]


def test_proofs_ask_only_for_the_nodes_they_name() -> None:
    for size in range(1, 40):
        assert merkle.root_at(size, recalled(merkle.edge_nodes(size))) == naive(0, size)
        for index in range(size):
            only = recalled(merkle.inclusion_nodes(index, size))
            proof = merkle.inclusion_proof(index, size, only)
            assert proof == merkle.inclusion_proof(index, size, hash_at)
            only = recalled(merkle.consistency_nodes(index + 1, size))
            proof = merkle.consistency_proof(index + 1, size, only)
            assert proof == merkle.consistency_proof(index + 1, size, hash_at)


@given(st.data())
def test_a_changed_inclusion_proof_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 300))
    index = data.draw(st.integers(0, size - 1))
    proof = list(merkle.inclusion_proof(index, size, hash_at))
    how = data.draw(st.sampled_from(["flip", "drop", "add", "short"]))
    at = data.draw(st.integers(0, len(proof) - 1))
    if how == "flip":
        proof[at] = bytes([proof[at][0] ^ 1]) + proof[at][1:]
    elif how == "drop":
        del proof[at]
    elif how == "add":
        proof.insert(at, proof[at])
    else:
        proof[at] = proof[at][:-1]
    assert not merkle.verify_inclusion(
        leaf=merkle.leaf_hash(record(index)), index=index, size=size, proof=proof,
        root=naive(0, size),
    )  # fmt: skip


@given(st.data())
def test_a_rewritten_history_is_not_consistent(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 200))
    old = data.draw(st.integers(1, size - 1))
    other = data.draw(st.integers(1, size).filter(lambda n: n != old))
    proof = merkle.consistency_proof(old, size, hash_at)
    shown = merkle.verify_consistency(
        old=other, size=size, proof=proof, old_root=naive(0, old), root=naive(0, size)
    )
    assert not shown
    longer = [*proof, proof[-1]] if proof else [naive(0, 1)]
    assert not merkle.verify_consistency(
        old=old, size=size, proof=longer, old_root=naive(0, old), root=naive(0, size)
    )


@given(st.lists(st.integers(0, 40), max_size=12))
def test_growing_in_any_parts_gives_one_tree(parts: list[int]) -> None:
    growing, size = merkle.Edge(), 0
    for part in parts:
        growing = growing.grown(merkle.leaf_hash(record(n)) for n in range(size, size + part)).edge
        size += part
    assert growing == edge(size)
    assert growing.root() == naive(0, size)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, 2**63)])
def test_no_proof_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="is not in a tree"):
        merkle.inclusion_proof(index, size, hash_at)
    assert not merkle.verify_inclusion(
        leaf=naive(0, 1), index=index, size=size, proof=[], root=naive(0, 1)
    )


@pytest.mark.parametrize(("old", "size"), [(0, 3), (4, 3), (-1, 3)])
def test_no_consistency_with_nothing_or_the_future(old: int, size: int) -> None:
    with pytest.raises(ValueError, match="is not a prefix"):
        merkle.consistency_proof(old, size, hash_at)
    assert not merkle.verify_consistency(
        old=old, size=size, proof=[], old_root=merkle.EMPTY_ROOT, root=naive(0, 3)
    )


def test_an_endless_proof_is_refused_by_its_length() -> None:
    assert not merkle.verify_inclusion(
        leaf=naive(0, 1), index=0, size=2**63 - 1, proof=[naive(0, 1)] * 65, root=naive(0, 1)
    )
