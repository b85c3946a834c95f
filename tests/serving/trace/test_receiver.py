"""The reference receiver keeps what it promises, because the tests of delivery lean on it."""

import httpx
import pytest

from tests.support.running_platform import RunningPlatform, running_platform

TOKEN = "sesame"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory):
    with running_platform(tmp_path_factory.mktemp("platform"), 1, "--token", TOKEN) as running:
        yield running


def event(number: int, **more: object) -> dict[str, object]:
    return {"type": "ObjectEvent", "eventID": f"urn:uuid:{number:08x}-0000-4000-8000-000000000000"} | more


def posted(platform: RunningPlatform, *events: dict[str, object], token: str = TOKEN, key: str = "") -> httpx.Response:
    document = {"type": "EPCISDocument", "schemaVersion": "2.0", "epcisBody": {"eventList": list(events)}}
    event_id = str(events[-1]["eventID"]).removeprefix("urn:uuid:").replace("-", "")
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key or event_id}
    return httpx.post(platform.url, json=document, headers=headers)


def stored(platform: RunningPlatform, number: int) -> list[dict[str, object]]:
    return [each for each in platform.received() if each["eventID"] == event(number)["eventID"]]


def test_a_captured_document_gets_a_job_that_says_what_became_of_it(platform) -> None:
    answer = posted(platform, event(1))
    assert answer.status_code == httpx.codes.ACCEPTED
    job = httpx.get(platform.address + answer.headers["Location"]).json()
    assert (job["running"], job["success"], job["errors"]) == (False, True, [])
    assert httpx.get(f"{platform.url}/999999").status_code == httpx.codes.NOT_FOUND


def test_the_same_event_twice_is_stored_once_and_answered_alike(platform) -> None:
    assert [posted(platform, event(2)).status_code for _ in range(2)] == [202, 202]
    assert len(stored(platform, 2)) == 1


def test_another_event_under_a_known_id_is_a_conflict_and_changes_nothing(platform) -> None:
    posted(platform, event(3))
    assert posted(platform, event(3, action="ADD")).status_code == httpx.codes.CONFLICT
    assert stored(platform, 3) == [event(3)]


def test_an_event_with_an_error_declaration_stands_beside_the_event_it_declares_wrong(platform) -> None:
    posted(platform, event(4))
    assert posted(platform, event(4, errorDeclaration={}), event(5)).status_code == httpx.codes.ACCEPTED
    assert len(stored(platform, 4)) == 2
    assert len(stored(platform, 5)) == 1


def test_a_wrong_token_a_wrong_key_and_a_wrong_document_are_refused(platform) -> None:
    assert posted(platform, event(6), token="other").status_code == httpx.codes.UNAUTHORIZED
    assert posted(platform, event(6), key="other").status_code == httpx.codes.BAD_REQUEST
    for content in (b"", b"[]", b"{}", b'{"epcisBody": {"eventList": []}}'):
        answer = httpx.post(platform.url, content=content, headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == httpx.codes.BAD_REQUEST
        assert answer.json()["type"] == "epcisException:ValidationException"
    assert stored(platform, 6) == []


def test_a_lost_answer_leaves_the_event_stored_and_a_cut_connection_does_not(platform) -> None:
    for way, count in ({"lost": 1.0}, 1), ({"cut": 1.0}, 0):
        platform.trouble(**way)
        with pytest.raises(httpx.TransportError):
            posted(platform, event(10 + count))
        assert len(stored(platform, 10 + count)) == count
    platform.trouble()
