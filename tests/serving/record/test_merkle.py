import hashlib
import itertools

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.record.merkle import (
    EMPTY_ROOT,
    completed_subtrees,
    consistency_proof,
    extends,
    includes,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
)

LARGEST = 70
LEAVES = [f"leaf {number}".encode() for number in range(LARGEST)]


class Tree:
    """The full subtrees of a growing log, as a store would keep them."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.kept: dict[tuple[int, int], bytes] = {}
        for index, leaf in enumerate(leaves):
            for level, place, found in completed_subtrees(index, leaf_hash(leaf), self):
                self.kept[level, place] = found

    def __call__(self, level: int, index: int) -> bytes:
        return self.kept[level, index]


TREE = Tree(LEAVES)


def flipped(hashed: bytes) -> bytes:
    return bytes([hashed[0] ^ 1]) + hashed[1:]


def test_the_empty_log_has_the_root_of_the_rfc() -> None:
    assert root(0, TREE) == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_a_leaf_cannot_pass_as_an_inner_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


def test_a_log_of_three_is_hashed_as_the_rfc_draws_it() -> None:
    a, b, c = (leaf_hash(leaf) for leaf in LEAVES[:3])
    assert root(3, TREE) == node_hash(node_hash(a, b), c)


def test_roots_equal_those_of_an_independent_implementation() -> None:
    oracle = pymerkle.InmemoryTree(algorithm="sha256")
    for size, leaf in enumerate(LEAVES, start=1):
        oracle.append(leaf)
        assert root(size, TREE) == oracle.get_state()


def test_every_leaf_is_proved_in_every_tree_that_holds_it() -> None:
    for size in range(1, LARGEST + 1):
        for index in range(size):
            proof = inclusion_proof(index, size, TREE)
            assert includes(leaf_hash(LEAVES[index]), index, size, proof, root(size, TREE))


def test_every_tree_is_proved_to_begin_with_every_earlier_one() -> None:
    for old, new in itertools.combinations_with_replacement(range(1, LARGEST + 1), 2):
        proof = consistency_proof(old, new, TREE)
        assert extends(old, root(old, TREE), new, root(new, TREE), proof)


def test_every_tree_begins_with_the_empty_one() -> None:
    assert extends(0, EMPTY_ROOT, 5, root(5, TREE), [])
    assert not extends(0, flipped(EMPTY_ROOT), 5, root(5, TREE), [])


@given(st.data())
def test_an_inclusion_proof_changed_anywhere_proves_nothing(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, LARGEST))
    index = data.draw(st.integers(0, size - 1))
    proof, hashed, top = inclusion_proof(index, size, TREE), leaf_hash(LEAVES[index]), root(size, TREE)
    place = data.draw(st.integers(0, len(proof) - 1))
    assert not includes(hashed, index, size, [*proof[:place], flipped(proof[place]), *proof[place + 1 :]], top)
    assert not includes(hashed, index, size, proof[:-1], top)
    assert not includes(hashed, index, size, [*proof, top], top)
    assert not includes(flipped(hashed), index, size, proof, top)
    assert not includes(hashed, index, size, proof, flipped(top))
    other = data.draw(st.integers(0, size - 1).filter(lambda each: each != index))
    assert not includes(hashed, other, size, proof, top)
    assert not includes(hashed, size, size, proof, top)


@given(st.data())
def test_a_consistency_proof_changed_anywhere_proves_nothing(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, LARGEST))
    old = data.draw(st.integers(1, new - 1))
    proof, of_old, of_new = consistency_proof(old, new, TREE), root(old, TREE), root(new, TREE)
    place = data.draw(st.integers(0, len(proof) - 1))
    assert not extends(old, of_old, new, of_new, [*proof[:place], flipped(proof[place]), *proof[place + 1 :]])
    assert not extends(old, of_old, new, of_new, proof[:-1])
    assert not extends(old, of_old, new, of_new, [*proof, of_new])
    assert not extends(old, flipped(of_old), new, of_new, proof)
    assert not extends(old, of_old, new, flipped(of_new), proof)


def test_a_log_that_changed_an_old_leaf_cannot_prove_that_it_extends_itself() -> None:
    forged = Tree([b"forged", *LEAVES[1:]])
    for old in range(1, 20):
        proof = consistency_proof(old, 40, forged)
        assert not extends(old, root(old, TREE), 40, root(40, forged), proof)


@pytest.mark.parametrize(("index", "size"), [(3, 3), (-1, 3), (0, 0)])
def test_a_proof_of_what_is_not_there_is_refused(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="holds no leaf"):
        inclusion_proof(index, size, TREE)


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3), (-1, 3)])
def test_a_smaller_tree_is_never_proved_to_extend_a_larger_one(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="Nothing to prove"):
        consistency_proof(old, new, TREE)
    assert not extends(old, flipped(root(max(old, 0), TREE)), new, root(new, TREE), [])
