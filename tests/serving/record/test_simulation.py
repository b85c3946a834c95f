from pathlib import Path

import pytest

from serving.record.checkpoint import SignerKey
from tests.support.simulated_world import SimulatedWorld

KEY = SignerKey.made("packgrade/simulated")


@pytest.mark.parametrize("block", range(10))
def test_what_is_acknowledged_is_logged_and_delivered_once_whatever_happens(tmp_path: Path, block: int) -> None:
    for seed in range(20 * block, 20 * (block + 1)):
        print(SimulatedWorld(seed, KEY).run(steps=40, scratch=tmp_path))


@pytest.mark.long
def test_what_is_acknowledged_is_logged_and_delivered_once_in_three_thousand_worlds(tmp_path: Path) -> None:
    for seed in range(1000, 4000):
        print(SimulatedWorld(seed, KEY).run(steps=60, scratch=tmp_path))


def test_a_world_is_the_same_again_under_the_same_seed(tmp_path: Path) -> None:
    assert SimulatedWorld(7, KEY).run(40, tmp_path) == SimulatedWorld(7, KEY).run(40, tmp_path)
