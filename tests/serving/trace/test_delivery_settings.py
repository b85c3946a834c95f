import pytest

from features.errors import InvalidInput
from serving.settings import settings_from_environment


@pytest.mark.parametrize(
    "url",
    [
        "https://platform.example/epcis/v2/capture",
        "https://platform.example:8443/capture?tenant=1",
        "https://10.0.0.7/capture",
        "http://127.0.0.1:9000/capture",
        "http://[::1]:9000/capture",
    ],
)
def test_an_address_nobody_can_listen_to_on_the_way_is_taken(url):
    assert settings_from_environment({"PACKGRADE_PLATFORM": url}).platform_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://platform.example/capture",
        "http://localhost/capture",
        "http://10.0.0.7/capture",
        "ftp://platform.example/capture",
        "platform.example/capture",
        "https://",
        "https://platform.example/capture#part",
        "https://platform.example/a b",
        "https://platform.example/\ncapture",
        "https://platform.example:port/",
        "https://[broken/",
    ],
)
def test_any_other_address_is_refused_by_name(url):
    with pytest.raises(InvalidInput) as caught:
        settings_from_environment({"PACKGRADE_PLATFORM": url})
    assert [problem.where for problem in caught.value.problems] == ["PACKGRADE_PLATFORM"]


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(InvalidInput) as caught:
        settings_from_environment({"PACKGRADE_PLATFORM": "https://user:sesame@platform.example/capture"})
    assert "sesame" not in str(caught.value)


def test_the_token_is_read_and_shown_nowhere():
    settings = settings_from_environment({"PACKGRADE_PLATFORM_TOKEN": "sesame"})
    assert settings.platform_token == "sesame"
    assert "sesame" not in repr(settings) + str(settings.as_environment())


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ключ", "x" * 4097])
def test_a_token_that_fits_no_header_is_refused_and_not_repeated(token):
    with pytest.raises(InvalidInput) as caught:
        settings_from_environment({"PACKGRADE_PLATFORM_TOKEN": token})
    assert [problem.where for problem in caught.value.problems] == ["PACKGRADE_PLATFORM_TOKEN"]
    assert token not in str(caught.value)
