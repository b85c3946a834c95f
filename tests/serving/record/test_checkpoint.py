import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from serving.record.checkpoint import (
    Checkpoint,
    CheckpointRefused,
    SignerKey,
    VerifierKey,
    note_kept,
    opened_checkpoint,
    signed_note,
    signers,
)

ROOT = hashlib.sha256(b"root").digest()
HEAD = Checkpoint("packgrade/test", 42, ROOT)
KEY = SignerKey("packgrade/test", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = SignerKey("witness", Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
NOTE = KEY.sign(HEAD)


def refused(note: str, trusted: SignerKey = KEY) -> str:
    with pytest.raises(CheckpointRefused) as problem:
        opened_checkpoint(note, [trusted.verifier])
    return problem.value.message


def test_a_signed_checkpoint_is_three_lines_and_a_signature_line() -> None:
    origin, size, root, empty, signature, end = NOTE.split("\n")
    assert (origin, size, empty, end) == ("packgrade/test", "42", "", "")
    assert base64.b64decode(root) == ROOT
    assert signature.startswith("\u2014 packgrade/test ")


def test_what_was_signed_comes_back() -> None:
    assert opened_checkpoint(NOTE, [KEY.verifier]) == HEAD


def test_a_key_nobody_trusts_proves_nothing() -> None:
    assert "None of the trusted keys" in refused(NOTE, OTHER)


def test_the_line_of_an_unknown_key_is_passed_over() -> None:
    both = NOTE + OTHER.sign(HEAD).split("\n\n")[1]
    assert opened_checkpoint(both, [KEY.verifier]) == HEAD
    assert opened_checkpoint(both, [OTHER.verifier]) == HEAD


def test_a_signature_over_another_head_is_refused() -> None:
    other_head = KEY.sign(Checkpoint("packgrade/test", 43, ROOT))
    forged = NOTE.split("\n\n")[0] + "\n\n" + other_head.split("\n\n")[1]
    assert "does not belong" in refused(forged)


@given(st.integers(0, len(NOTE) - 1), st.sampled_from("09AZaz+/= \n\u2014"))
def test_a_note_changed_anywhere_is_refused(place: int, character: str) -> None:
    changed = NOTE[:place] + character + NOTE[place + 1 :]
    if changed != NOTE:
        refused(changed)


@pytest.mark.parametrize("size", ["042", "+42", "4_2", " 42", "-1", "42.0", ""])
def test_a_size_written_otherwise_is_refused(size: str) -> None:
    refused(NOTE.replace("\n42\n", f"\n{size}\n"))


@pytest.mark.parametrize("note", ["", "\n", "a\n1\n\n", NOTE[:-1], NOTE.split("\n\n")[0] + "\n", NOTE + "x"])
def test_what_is_no_note_is_refused(note: str) -> None:
    refused(note)


def test_a_verifier_key_is_written_and_read_back() -> None:
    written = str(KEY.verifier)
    assert str(VerifierKey.parsed(written)) == written
    assert written.startswith("packgrade/test+")


@pytest.mark.parametrize("text", ["", "name", "name+00000000+AQ==", "na me" + str(KEY.verifier)[14:]])
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(CheckpointRefused):
        VerifierKey.parsed(text)


def test_two_keys_of_one_name_are_told_apart_by_their_hash() -> None:
    newer = SignerKey("packgrade/test", OTHER.private)
    assert opened_checkpoint(NOTE + newer.sign(HEAD).split("\n\n")[1], [newer.verifier]) == HEAD
    assert "None of the trusted keys" in refused(NOTE, newer)


def test_a_checkpoint_without_sense_cannot_be_made() -> None:
    for origin, size, root in (("", 1, ROOT), ("a b", 1, ROOT), ("a", -1, ROOT), ("a", 1, ROOT[:31])):
        with pytest.raises(ValueError, match="A checkpoint needs"):
            Checkpoint(origin, size, root)


@pytest.mark.parametrize("number", [0x00, 0x02, 0x04, 0x06, 0xFF])
def test_a_key_of_an_unknown_algorithm_is_refused_naming_it_and_what_is_known(number: int) -> None:
    encoded = base64.b64encode(bytes([number]) + bytes(32)).decode()
    for text in (f"log+00000000+{encoded}", f"PRIVATE+KEY+log+00000000+{encoded}"):
        read = SignerKey.parsed if text.startswith("PRIVATE") else VerifierKey.parsed
        with pytest.raises(CheckpointRefused, match=rf"algorithm 0x{number:02x}; this release knows 0x01 \(Ed25519\)"):
            read(text)


def test_the_signers_of_a_note_are_told_in_their_order() -> None:
    assert signers(signed_note(HEAD, KEY, OTHER)) == [(key.name, key.verifier.key_hash) for key in (KEY, OTHER)]


def test_a_kept_reply_of_the_service_holds_the_note_itself():
    note = "packgrade/log\n1\nAAAA\n\n\u2014 packgrade/log BBBB\n"
    assert note_kept(json.dumps({"checkpoint": note})) == note_kept(note) == note


@pytest.mark.parametrize("other", ["", "{", "[]", '{"checkpoint": 3}', '{"note": "x"}'])
def test_what_is_no_reply_is_left_as_it_is_to_be_refused(other):
    assert note_kept(other) == other
