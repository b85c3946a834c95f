from pathlib import Path

import pytest

from features.errors import InvalidInput
from models.policy_file import SHIPPED_POLICY
from serving.settings import SHIPPED_BUNDLE, Settings, settings_from_environment


def test_nothing_set_gives_the_shipped_bundle_and_policy_and_the_own_machine_only():
    settings = settings_from_environment({"HOME": "/somewhere"})
    assert (settings.bundle_folder, settings.policy_file) == (SHIPPED_BUNDLE, SHIPPED_POLICY)
    assert (settings.station, settings.host, settings.workers) == ("local", "127.0.0.1", 1)


def test_every_variable_is_read_and_an_empty_one_counts_as_not_set():
    settings = settings_from_environment(
        {
            "PACKGRADE_RECORD": "r.sqlite",
            "PACKGRADE_STATION": "line 3",
            "PACKGRADE_PORT": "8080",
            "PACKGRADE_WORKERS": "",
            "PACKGRADE_CONCURRENCY": "8",
        }
    )
    assert settings.record_file == Path("r.sqlite")
    assert (settings.station, settings.port, settings.workers, settings.concurrent_requests) == ("line 3", 8080, 1, 8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PACKGRADE_PORT", "http"),
        ("PACKGRADE_PORT", "0"),
        ("PACKGRADE_PORT", "65536"),
        ("PACKGRADE_WORKERS", "-1"),
        ("PACKGRADE_WORKERS", "65"),
        ("PACKGRADE_CONCURRENCY", "1.5"),
        ("PACKGRADE_STATION", "a\nb"),
        ("PACKGRADE_STATION", "s" * 65),
        ("PACKGRADE_HOST", "localhost"),
    ],
)
def test_a_variable_that_breaks_its_rule_is_refused_by_name(name, value):
    with pytest.raises(InvalidInput) as caught:
        settings_from_environment({name: value})
    assert caught.value.code == "INVALID_SETTINGS"
    assert [problem.where for problem in caught.value.problems] == [name]


def test_a_worker_gets_the_same_settings_with_absolute_paths():
    given = Settings(record_file=Path("r.sqlite"), station="line 3", port=4000, workers=2)
    handed_on = settings_from_environment(given.as_environment())
    assert handed_on.record_file == Path("r.sqlite").absolute()
    assert (handed_on.station, handed_on.port, handed_on.workers) == ("line 3", 4000, 2)
