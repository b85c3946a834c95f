import hashlib
from pathlib import Path

import pytest

from features.errors import InvalidInput
from serving.form_parts import LARGEST_REQUEST_PART, MOST_FILES, FormWriter, ReceivedForm
from serving.wire import Refusal

BOUNDARY = b"edge"
CONTENT = b"\r\n--edg\r\n--edge-not\x00" * 5


def part(name: str, content: bytes, file_name: str | None = None, more: str = "") -> bytes:
    named = "" if file_name is None else f'; filename="{file_name}"'
    head = f'--edge\r\nContent-Disposition: form-data; name="{name}"{named}\r\n{more}\r\n'
    return head.encode() + content + b"\r\n"


def written(folder: Path, *parts: bytes, chunk: int = 1000, end: bytes = b"--edge--\r\n") -> ReceivedForm:
    writer, body = FormWriter(BOUNDARY, folder), b"".join(parts) + end
    try:
        for begin in range(0, len(body), chunk):
            writer.feed(body[begin : begin + chunk])
        return writer.form()
    finally:
        writer.close()


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 100_000])
def test_a_form_is_the_same_however_its_bytes_come(tmp_path, chunk):
    form = written(tmp_path, part("request", b"{}"), part("log", CONTENT, "a.csv"), chunk=chunk)
    assert form.request == b"{}"
    assert form.files["log"].path.read_bytes() == CONTENT
    assert form.files["log"].sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert form.files["log"].path == tmp_path / "0" / "a.csv"


def test_files_of_one_name_do_not_meet_on_disk(tmp_path):
    form = written(tmp_path, part("request", b"{}"), part("a", b"1", "same.csv"), part("b", b"2", "same.csv"))
    assert [form.files[name].path.read_bytes() for name in "ab"] == [b"1", b"2"]


@pytest.mark.parametrize(
    "parts",
    [
        [part("request", b"{}"), part("request", b"{}")],
        [part("request", b"{}"), part("log", b"", "a.csv"), part("log", b"", "b.csv")],
        [part("request", b"{}"), part("no file name", b"")],
        [part("request", b"{}"), part("log", b"")],
        [part("request", b"{}"), part("../log", b"", "a.csv")],
        [part("request", b"{}"), part("log", b"", "a.csv", "Content-Transfer-Encoding: base64\r\n")],
        [part("request", b"{}"), part("log", b"", "a.csv", f"X-Long: {'x' * 5000}\r\n")],
        [part("request", b"{}"), *(part(f"log{n}", b"", "a.csv") for n in range(MOST_FILES + 1))],
        [part("log", b"", "a.csv")],
        [b"no form at all"],
    ],
)
def test_a_form_that_breaks_a_rule_is_refused(tmp_path, parts):
    with pytest.raises(InvalidInput) as refused:
        written(tmp_path, *parts)
    assert refused.value.code == "INVALID_FORM"


def test_sixteen_files_are_taken(tmp_path):
    files = [part(f"log{n}", b"", "a.csv") for n in range(MOST_FILES)]
    assert len(written(tmp_path, part("request", b"{}"), *files).files) == MOST_FILES


def test_a_form_without_its_closing_boundary_is_cut_off(tmp_path):
    with pytest.raises(InvalidInput, match="cut off"):
        written(tmp_path, part("request", b"{}"), part("log", b"1", "a.csv"), end=b"")


def test_a_request_part_above_its_cap_is_too_large(tmp_path):
    assert len(written(tmp_path, part("request", b" " * LARGEST_REQUEST_PART)).request) == LARGEST_REQUEST_PART
    with pytest.raises(Refusal) as refused:
        written(tmp_path, part("request", b" " * (LARGEST_REQUEST_PART + 1)))
    assert (refused.value.status, refused.value.problems[0].where) == (413, "request")


def test_a_disk_that_takes_nothing_is_no_fault_of_the_sender(tmp_path):
    with pytest.raises(Refusal) as refused:
        written(tmp_path / "gone", part("request", b"{}"), part("log", b"1", "a.csv"))
    assert (refused.value.status, refused.value.code) == (507, "NO_ROOM")


def test_a_boundary_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(InvalidInput):
        FormWriter(b"x" * 500, tmp_path)
