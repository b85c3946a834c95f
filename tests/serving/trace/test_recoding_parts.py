"""What is inside a battery has a say in whether it gets a cascade code."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from features.vocabulary import Level
from models.decision import Outcome
from serving.events.genealogy import GenealogyRefused
from serving.events.relations import Action
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger
from tests.support.decided import CASCADE_MODULE, CASCADE_PACK, CELL, MODULE, PACK, asked, associated, decided, recoded


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A cell in a module in a pack; each was graded B, in this order."""
    with Ledger.open(tmp_path / "record.sqlite", "test") as opened:
        for code, level in ((CELL, Level.CELL), (MODULE, Level.MODULE), (PACK, Level.PACK)):
            decided(opened, code, level=level)
        associated(opened, MODULE, CELL)
        yield opened


def refused(ledger: Ledger, new_code: str, old_code: str) -> str:
    """The rule a recoding breaks; nothing was recorded."""
    before = ledger.head()
    with pytest.raises(GenealogyRefused) as told:
        recoded(ledger, new_code, old_code)
    assert ledger.head() == before
    (problem,) = told.value.problems
    assert problem.where == "old_codes[0]"
    return problem.rule


@pytest.mark.parametrize("outcome", [Outcome.HOLD, Outcome.RECYCLE, Outcome.RETEST])
def test_a_module_with_a_part_that_lost_its_use_since_gets_no_cascade_code(ledger: Ledger, outcome: Outcome) -> None:
    later = decided(ledger, CELL, outcome)
    assert refused(ledger, CASCADE_MODULE, MODULE) == (
        f"must have no part without a use; it holds {CELL}, whose last decision is {outcome} ({later.leaf.event_id})"
    )


def test_a_part_counts_at_any_depth_and_however_late_it_came(ledger: Ledger) -> None:
    decided(ledger, CELL, Outcome.HOLD)
    associated(ledger, PACK, MODULE)
    assert CELL in refused(ledger, CASCADE_PACK, PACK)


def test_a_part_that_was_taken_out_forbids_nothing(ledger: Ledger) -> None:
    decided(ledger, CELL, Outcome.HOLD)
    associated(ledger, PACK, MODULE)
    associated(ledger, MODULE, CELL, action=Action.DELETE)
    assert recoded(ledger, CASCADE_PACK, PACK).leaf.kind is LeafKind.RECODING


def test_a_part_with_a_use_forbids_nothing(ledger: Ledger) -> None:
    assert recoded(ledger, CASCADE_MODULE, MODULE).leaf.kind is LeafKind.RECODING


def test_a_hold_that_was_withdrawn_forbids_nothing(ledger: Ledger) -> None:
    mistaken = decided(ledger, CELL, Outcome.HOLD).leaf.event_id
    assert CELL in refused(ledger, CASCADE_MODULE, MODULE)
    withdrawal = {"decision_id": mistaken, "action": "withdraw", "reason": "the wrong cell"}
    ledger.append(asked("withdraw").entry(LeafKind.CORRECTION, CELL, withdrawal))
    assert recoded(ledger, CASCADE_MODULE, MODULE).leaf.kind is LeafKind.RECODING
