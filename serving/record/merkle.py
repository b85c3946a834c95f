"""The Merkle tree over the leaves of the record (RFC 6962 section 2, RFC 9162 section 2.1).

Only hashing and proofs: no file, no database, no signature. The tree of n leaves is cut at the
largest power of two below n; every *full* subtree (2**level leaves, aligned) never changes again, so
a log that keeps those appends a leaf in O(log n) and proves anything from them. `subtree(level,
index)` is asked for full subtrees alone and is the one thing a store must provide.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence

Subtree = Callable[[int, int], bytes]
"""Hash of the full subtree over leaves ``index * 2**level`` to ``(index + 1) * 2**level - 1``."""

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of a log without leaves."""


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of a leaf, 32 bytes: the prefix keeps a leaf from passing as an inner node."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def completed_subtrees(index: int, hash_of_leaf: bytes, subtree: Subtree) -> Iterator[tuple[int, int, bytes]]:
    """Full subtrees that a leaf completes when it is appended.

    Parameters
    ----------
    index : int
        Index of the leaf, which is the size of the tree before it.
    hash_of_leaf : bytes
        Its `leaf_hash`.
    subtree : Subtree
        Full subtrees to the left of the leaf.

    Yields
    ------
    tuple of (int, int, bytes)
        Level, index within the level and hash; the leaf itself (level 0) first.
    """
    level, place, found = 0, index, hash_of_leaf
    yield level, place, found
    while place % 2 == 1:
        found = node_hash(subtree(level, place - 1), found)
        level, place = level + 1, place // 2
        yield level, place, found


def root(size: int, subtree: Subtree) -> bytes:
    """Root of the tree over the first `size` leaves, 32 bytes."""
    return _span(0, size, subtree) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """Hashes that lead from a leaf to the root of the tree over the first `size` leaves.

    Raises
    ------
    ValueError
        If the tree of that size does not hold the leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"A tree of {size} leaves holds no leaf {index}.")
    path, first, last = list[bytes](), 0, size
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            path.append(_span(middle, last, subtree))
            last = middle
        else:
            path.append(_span(first, middle, subtree))
            first = middle
    return path[::-1]


def consistency_proof(old_size: int, new_size: int, subtree: Subtree) -> list[bytes]:
    """Hashes that show the tree of `new_size` leaves to begin with that of `old_size`; empty where they are one.

    Raises
    ------
    ValueError
        Unless ``0 < old_size <= new_size``.
    """
    if not 0 < old_size <= new_size:
        raise ValueError(f"Nothing to prove between trees of {old_size} and {new_size} leaves.")
    path, first, last, whole = list[bytes](), 0, new_size, True
    while last != old_size:
        middle = first + _split(last - first)
        if old_size <= middle:
            path.append(_span(middle, last, subtree))
            last = middle
        else:
            path.append(_span(first, middle, subtree))
            first, whole = middle, False
    return ([] if whole else [_span(first, last, subtree)]) + path[::-1]


def includes(hash_of_leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> bool:
    """Whether an inclusion proof leads from the leaf to the root (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, hash_of_leaf
    for sibling in proof:
        if last == 0:
            return False
        if place % 2 == 1 or place == last:
            found = node_hash(sibling, found)
            while place % 2 == 0 and place != 0:
                place, last = place // 2, last // 2
        else:
            found = node_hash(found, sibling)
        place, last = place // 2, last // 2
    return last == 0 and found == expected_root


def extends(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a consistency proof shows the new tree to begin with the old one (RFC 9162 section 2.1.4.2)."""
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    if not 0 < old_size < new_size or not proof:
        return False
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    place, last = old_size - 1, new_size - 1
    while place % 2 == 1:
        place, last = place // 2, last // 2
    of_old = of_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place % 2 == 1 or place == last:
            of_old, of_new = node_hash(sibling, of_old), node_hash(sibling, of_new)
            while place % 2 == 0 and place != 0:
                place, last = place // 2, last // 2
        else:
            of_new = node_hash(of_new, sibling)
        place, last = place // 2, last // 2
    return last == 0 and of_old == old_root and of_new == new_root


def _split(count: int) -> int:
    """Largest power of two below a count of at least two."""
    return 1 << ((count - 1).bit_length() - 1)


def _span(first: int, last: int, subtree: Subtree) -> bytes:
    """Hash over leaves ``first`` to ``last - 1`` as they stand in any tree that ends at ``last``."""
    count = last - first
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return subtree(level, first >> level)
    middle = first + _split(count)
    return node_hash(_span(first, middle, subtree), _span(middle, last, subtree))
