"""Whatever is asked, by however many at once: the batteries of a record form a forest."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InvalidInput
from features.vocabulary import Level
from models.decision import Outcome
from serving.events.family import above, current_code, direct_parts, family, holder, successor
from serving.events.genealogy import GenealogyRefused, parts_of, record_association
from serving.events.relations import Action, Association, Recoding
from serving.record.entry import IdempotencyConflict
from serving.record.leaf import LeafKind
from serving.record.ledger import Ledger
from serving.record.verify import verify_record
from tests.support.decided import (
    CASCADE_CELL,
    CASCADE_MODULE,
    CASCADE_PACK,
    CELL,
    MODULE,
    NO_DATES,
    OTHER_CELL,
    OTHER_MODULE,
    OTHER_PACK,
    PACK,
    asked,
    associated,
    decided,
    recoded,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "record.sqlite", "test") as opened:
        yield opened


@pytest.fixture
def stocked(ledger: Ledger) -> Ledger:
    """Two cells, two modules and two packs, all graded B."""
    for code, level in (
        (CELL, Level.CELL),
        (OTHER_CELL, Level.CELL),
        (MODULE, Level.MODULE),
        (OTHER_MODULE, Level.MODULE),
        (PACK, Level.PACK),
        (OTHER_PACK, Level.PACK),
    ):
        decided(ledger, code, level=level)
    return ledger


def rules(refused: Callable[[], object]) -> dict[str, str]:
    """The rules a request breaks, by place."""
    with pytest.raises(GenealogyRefused) as told:
        refused()
    return {problem.where: problem.rule for problem in told.value.problems}


def test_a_module_put_into_a_pack_is_part_of_it_until_it_is_taken_out(stocked: Ledger) -> None:
    joined = associated(stocked, PACK, MODULE, OTHER_MODULE)
    assert (joined.leaf.kind, joined.leaf.battery_id) == (LeafKind.ASSOCIATION, PACK)
    with stocked.reading() as reader:
        assert direct_parts(reader, PACK) == [MODULE, OTHER_MODULE]
    associated(stocked, PACK, MODULE, action=Action.DELETE)
    with stocked.reading() as reader:
        assert direct_parts(reader, PACK) == [OTHER_MODULE]
        assert holder(reader, MODULE) is None
    associated(stocked, OTHER_PACK, MODULE)
    with stocked.reading() as reader:
        assert holder(reader, MODULE) == OTHER_PACK


def test_a_part_that_was_taken_out_and_put_back_is_one_part(stocked: Ledger) -> None:
    associated(stocked, PACK, MODULE)
    associated(stocked, PACK, MODULE, action=Action.DELETE)
    associated(stocked, PACK, MODULE, name="again")
    with stocked.reading() as reader:
        assert direct_parts(reader, PACK) == [MODULE]


def test_the_record_first_hears_of_a_pack_by_its_parts(ledger: Ledger) -> None:
    decided(ledger, MODULE, level=Level.MODULE)
    assert associated(ledger, PACK, MODULE).leaf.battery_sequence == 0


def test_a_part_the_record_does_not_know_is_refused_and_nothing_is_recorded(stocked: Ledger) -> None:
    stranger = "04QMB76836300JBC40000999"
    before = stocked.head()
    found = rules(lambda: associated(stocked, PACK, MODULE, stranger))
    assert found == {"children[1]": "must be known to the record: grade it first"}
    assert stocked.head() == before


def test_a_part_is_in_one_whole_at_a_time(stocked: Ledger) -> None:
    associated(stocked, PACK, MODULE)
    assert rules(lambda: associated(stocked, OTHER_PACK, MODULE)) == {
        "children[0]": f"must be part of nothing; it is part of {PACK}"
    }
    assert rules(lambda: associated(stocked, PACK, MODULE, name="twice")) == {
        "children[0]": f"must be part of nothing; it is part of {PACK}"
    }


def test_what_is_not_part_of_a_whole_cannot_be_taken_out_of_it(stocked: Ledger) -> None:
    associated(stocked, PACK, MODULE)
    taken = {"action": Action.DELETE}
    assert rules(lambda: associated(stocked, OTHER_PACK, MODULE, **taken)) == {
        "children[0]": f"must be part of {OTHER_PACK}; it is part of {PACK}"
    }
    assert rules(lambda: associated(stocked, PACK, OTHER_MODULE, **taken)) == {
        "children[0]": f"must be part of {PACK}; it is part of nothing"
    }


@pytest.mark.parametrize(
    ("whole", "part"), [(CELL, MODULE), (CELL, PACK), (MODULE, PACK), (MODULE, OTHER_MODULE), (PACK, OTHER_PACK)]
)
def test_a_whole_is_larger_than_its_part(stocked: Ledger, whole: str, part: str) -> None:
    assert "smaller than its whole" in rules(lambda: associated(stocked, whole, part))["children[0]"]


@pytest.mark.parametrize(("whole", "part"), [(MODULE, CELL), (PACK, CELL), (PACK, MODULE)])
def test_cells_go_into_modules_and_packs_and_modules_into_packs(stocked: Ledger, whole: str, part: str) -> None:
    assert associated(stocked, whole, part).leaf.body["children"] == [part]


def test_a_level_that_was_only_declared_counts_too(ledger: Ledger) -> None:
    decided(ledger, "PACK-7", level=Level.PACK)
    decided(ledger, "MODULE-7", level=Level.MODULE)
    assert "smaller than its whole" in rules(lambda: associated(ledger, "MODULE-7", "PACK-7"))["children[0]"]
    assert associated(ledger, "PACK-7", "MODULE-7").leaf.sequence == 2


def test_where_nobody_said_a_level_nothing_is_inside_itself_all_the_same(ledger: Ledger) -> None:
    decided(ledger, "A-CELL")
    associated(ledger, "CRATE-1", "A-CELL")
    associated(ledger, "CRATE-2", "CRATE-1")
    associated(ledger, "CRATE-3", "CRATE-2")
    assert rules(lambda: associated(ledger, "CRATE-1", "CRATE-3")) == {
        "children[0]": "must not contain what it is to be part of, CRATE-1"
    }


@pytest.mark.parametrize(
    ("parent", "children"),
    [
        (PACK, ()),
        (PACK, (MODULE, MODULE)),
        (PACK, (MODULE, MODULE.lower())),
        (PACK, (PACK,)),
        ("", (MODULE,)),
        ("x" * 65, (MODULE,)),
        (PACK, ("module\n7",)),
        ("1M8GDM9AXKP042788", (MODULE,)),
    ],
)
def test_an_association_that_names_nothing_or_one_battery_twice_is_refused(
    parent: str, children: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInput) as told:
        Association(parent, children, Action.ADD)
    assert "1M8GDM9AXKP042788" not in str(told.value)


def test_a_code_is_written_as_the_record_writes_it(stocked: Ledger) -> None:
    joined = associated(stocked, PACK.lower(), f" {MODULE[:13]}\n{MODULE[13:].lower()} ")
    assert (joined.leaf.battery_id, joined.leaf.body["children"]) == (PACK, [MODULE])


def test_the_same_request_again_is_the_same_entry_even_after_the_world_moved_on(stocked: Ledger) -> None:
    request, first = asked("put in"), Association(PACK, (MODULE,), Action.ADD)
    joined = record_association(stocked, first, request, NO_DATES)
    associated(stocked, PACK, MODULE, action=Action.DELETE)
    associated(stocked, OTHER_PACK, MODULE)
    again = record_association(stocked, first, replace(request, event_id="f" * 32), NO_DATES)
    assert (again.leaf, again.replayed) == (joined.leaf, True)
    other = replace(request, request_sha256="0" * 64)
    with pytest.raises(IdempotencyConflict):
        record_association(stocked, Association(PACK, (CELL,), Action.ADD), other, NO_DATES)


def test_a_recoded_cell_goes_on_under_its_new_code_and_the_old_one_is_kept(stocked: Ledger, tmp_path: Path) -> None:
    made = recoded(stocked, CASCADE_CELL, CELL)
    assert (made.leaf.kind, made.leaf.battery_id, made.leaf.battery_sequence) == (LeafKind.RECODING, CASCADE_CELL, 0)
    assert made.leaf.body["rated_capacity_ah"] == 28
    with stocked.reading() as reader:
        assert (successor(reader, CELL), current_code(reader, CELL)) == (CASCADE_CELL, CASCADE_CELL)
        assert family(reader, CASCADE_CELL) == [CASCADE_CELL, CELL]
    assert verify_record(tmp_path / "record.sqlite").is_intact


def test_an_old_code_is_out_of_use(stocked: Ledger) -> None:
    recoded(stocked, CASCADE_CELL, CELL)
    assert rules(lambda: associated(stocked, PACK, CELL)) == {
        "children[0]": f"must be in use; its code is now {CASCADE_CELL}"
    }
    assert (
        "must be in use"
        in rules(lambda: recoded(stocked, CASCADE_CELL.replace("903RC", "904RC"), CELL))["old_codes[0]"]
    )
    recoded(stocked, CASCADE_PACK, PACK)
    assert rules(lambda: associated(stocked, PACK, MODULE)) == {
        "parent": f"must be in use; its code is now {CASCADE_PACK}"
    }


def test_a_pack_keeps_its_modules_under_its_new_code_and_they_can_be_taken_out_of_it(stocked: Ledger) -> None:
    associated(stocked, PACK, MODULE, OTHER_MODULE)
    recoded(stocked, CASCADE_PACK, PACK)
    with stocked.reading() as reader:
        assert direct_parts(reader, CASCADE_PACK) == [MODULE, OTHER_MODULE]
        assert list(above(reader, MODULE)) == [MODULE, PACK, CASCADE_PACK]
    associated(stocked, CASCADE_PACK, MODULE, action=Action.DELETE)
    with stocked.reading() as reader:
        assert direct_parts(reader, CASCADE_PACK) == [OTHER_MODULE]


@pytest.mark.parametrize("outcome", [Outcome.HOLD, Outcome.RECYCLE, Outcome.RETEST])
def test_what_no_standing_decision_gives_a_use_gets_no_cascade_code(stocked: Ledger, outcome: Outcome) -> None:
    earlier = stocked.by_battery(CELL)[0].leaf.event_id
    decided(stocked, CELL, outcome)
    found = rules(lambda: recoded(stocked, CASCADE_CELL, CELL, decision_id=earlier))
    assert found == {
        "old_codes[0]": "must have a cascade decision as its last one",
        "decision_id": "must be the last decision on one of the old codes that nobody withdrew",
    }


def test_a_withdrawn_decision_permits_nothing(stocked: Ledger) -> None:
    decision_id = stocked.by_battery(CELL)[0].leaf.event_id
    withdrawal = {"decision_id": decision_id, "action": "withdraw", "reason": "the wrong cell"}
    stocked.append(asked("withdraw").entry(LeafKind.CORRECTION, CELL, withdrawal))
    assert set(rules(lambda: recoded(stocked, CASCADE_CELL, CELL))) == {"old_codes[0]", "decision_id"}


def test_a_cell_the_record_does_not_know_gets_no_cascade_code(ledger: Ledger) -> None:
    assert set(rules(lambda: recoded(ledger, CASCADE_CELL, CELL))) == {"old_codes[0]", "decision_id"}


def test_a_recoding_onto_a_code_the_record_knows_is_refused(stocked: Ledger) -> None:
    decided(stocked, CASCADE_CELL)
    assert "must be new" in rules(lambda: recoded(stocked, CASCADE_CELL, CELL))["new_code"]


def test_a_part_still_inside_a_pack_gets_no_new_code(stocked: Ledger) -> None:
    associated(stocked, PACK, MODULE)
    assert rules(lambda: recoded(stocked, CASCADE_MODULE, MODULE)) == {
        "old_codes[0]": f"must be part of nothing; it is part of {PACK}"
    }
    associated(stocked, PACK, MODULE, action=Action.DELETE)
    assert recoded(stocked, CASCADE_MODULE, MODULE).leaf.battery_id == CASCADE_MODULE


@pytest.mark.parametrize("wrong", ["04QCE76GB10000903RC", "001CB76GB10000903RC", "04QCB77GB10000903RC"])
def test_a_new_code_of_another_maker_or_type_is_refused(stocked: Ledger, wrong: str) -> None:
    assert "positions 1 to 7" in rules(lambda: recoded(stocked, wrong, CELL))["old_codes[0]"]


def test_a_pack_does_not_become_a_cell_nor_two_cells_one(stocked: Ledger) -> None:
    assert "not made from a pack" in rules(lambda: recoded(stocked, CASCADE_PACK[:-1] + "C", PACK))["old_codes[0]"]
    both = rules(lambda: recoded(stocked, CASCADE_CELL, CELL, OTHER_CELL))
    assert "not made from several cell" in both["old_codes[1]"]


def test_several_modules_become_one_pack(stocked: Ledger) -> None:
    recoded(stocked, CASCADE_MODULE[:-1] + "P", MODULE, OTHER_MODULE, rated_capacity_ah=56.0)
    with stocked.reading() as reader:
        assert family(reader, CASCADE_MODULE[:-1] + "P")[1:] == [MODULE, OTHER_MODULE]


@pytest.mark.parametrize("capacity_ah", [52.6, 28_000.0])
def test_a_calibrated_capacity_beyond_the_plates_is_a_unit_mistake(stocked: Ledger, capacity_ah: float) -> None:
    found = rules(lambda: recoded(stocked, CASCADE_CELL, CELL, rated_capacity_ah=capacity_ah))
    assert "is the unit Ah?" in found["rated_capacity_ah"]


@pytest.mark.parametrize(
    "changes",
    [
        {"new_code": CELL},
        {"new_code": CASCADE_CELL[:-1] + "X"},
        {"new_code": "second-life-1"},
        {"old_codes": ()},
        {"old_codes": (CELL, CELL)},
        {"old_codes": (CASCADE_CELL,)},
        {"rated_capacity_ah": 0.0},
        {"rated_capacity_ah": float("nan")},
    ],
)
def test_a_recoding_unsound_in_itself_is_refused(changes: dict[str, object]) -> None:
    sound = Recoding((CELL,), CASCADE_CELL, 28.0, "a" * 32)
    with pytest.raises(InvalidInput):
        replace(sound, **changes)  # type: ignore[arg-type]


def test_a_second_life_may_end_in_a_third(stocked: Ledger) -> None:
    recoded(stocked, CASCADE_CELL, CELL)
    later = CASCADE_CELL.replace("G", "H", 1)
    assert "decision_id" in rules(lambda: recoded(stocked, later, CASCADE_CELL, decision_id="e" * 32))
    decided(stocked, CASCADE_CELL)
    recoded(stocked, later, CASCADE_CELL)
    with stocked.reading() as reader:
        assert family(reader, later) == [later, CASCADE_CELL, CELL]


def test_the_parts_of_a_pack_are_judged_down_to_the_cells(stocked: Ledger) -> None:
    decided(stocked, MODULE, Outcome.HOLD, Level.MODULE, name="again")
    associated(stocked, MODULE, CELL)
    associated(stocked, PACK, MODULE, OTHER_MODULE)
    judged = [(part.battery_id, part.outcome, part.grade, part.gated) for part in parts_of(stocked, PACK)]
    assert judged == [
        (MODULE, Outcome.HOLD, None, True),
        (OTHER_MODULE, Outcome.CASCADE, "B", True),
        (CELL, Outcome.CASCADE, "B", True),
    ]


def test_a_part_that_was_taken_out_is_no_longer_judged(stocked: Ledger) -> None:
    associated(stocked, PACK, MODULE, OTHER_MODULE)
    associated(stocked, PACK, MODULE, action=Action.DELETE)
    assert [part.battery_id for part in parts_of(stocked, PACK)] == [OTHER_MODULE]
    assert parts_of(stocked, CELL) == ()


def test_a_part_nobody_judged_is_named_without_a_verdict(stocked: Ledger) -> None:
    associated(stocked, "CRATE-1", CELL)
    associated(stocked, PACK, "CRATE-1")
    (crate, cell) = parts_of(stocked, PACK)
    assert (crate.battery_id, crate.gated, crate.outcome) == ("CRATE-1", False, None)
    assert cell.gated


def test_a_part_under_a_new_code_is_judged_by_what_it_was_until_it_is_graded_again(stocked: Ledger) -> None:
    recoded(stocked, CASCADE_MODULE, MODULE)
    associated(stocked, PACK, CASCADE_MODULE)
    assert [part.battery_id for part in parts_of(stocked, PACK)] == [MODULE]
    decided(stocked, CASCADE_MODULE, Outcome.RECYCLE, Level.MODULE)
    assert [(part.battery_id, part.outcome) for part in parts_of(stocked, PACK)] == [(CASCADE_MODULE, Outcome.RECYCLE)]


@pytest.fixture(params=["sqlite", "postgresql"])
def two_writers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Ledger, Ledger]]:
    """Two processes' ledgers on one record."""
    key = tmp_path / "log.key"
    server = "postgres" if request.param == "postgresql" else ""
    location = request.getfixturevalue(server).new_database() if server else tmp_path / "record.sqlite"
    with Ledger.open(location, "test", key=key) as one, Ledger.open(location, "test", key=key) as other:
        yield one, other


def granted(pair: tuple[Ledger, tuple[str, str]]) -> bool:
    ledger, (whole, part) = pair
    try:
        associated(ledger, whole, part)
    except GenealogyRefused:
        return False
    return True


def test_of_many_who_claim_one_module_at_once_one_gets_it(two_writers: tuple[Ledger, Ledger]) -> None:
    decided(two_writers[0], MODULE, level=Level.MODULE)
    claims = [(f"04QPB76836300JBC4000{number:04d}", MODULE) for number in range(100, 116)]
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(granted, zip(itertools.cycle(two_writers), claims, strict=False))) == 1


def test_of_two_who_close_a_circle_at_once_one_is_refused(two_writers: tuple[Ledger, Ledger]) -> None:
    decided(two_writers[0], "A-CELL")
    for number in range(8):
        crates = f"CRATE-{number}-1", f"CRATE-{number}-2"
        for crate in crates:
            associated(two_writers[0], crate, "A-CELL")
            associated(two_writers[0], crate, "A-CELL", action=Action.DELETE)
        with ThreadPoolExecutor(2) as pool:
            circle = [(two_writers[0], crates), (two_writers[1], crates[::-1])]
            assert sorted(pool.map(granted, circle)) == [False, True]


_CRATES = ("CRATE-1", "CRATE-2", "CRATE-3")
_LEVELS = {CELL: Level.CELL, MODULE: Level.MODULE, PACK: Level.PACK}
_NEW_CODES = {CASCADE_CELL: CELL, CASCADE_CELL.replace("903", "904"): CELL, CASCADE_MODULE: MODULE, CASCADE_PACK: PACK}
_ONE = st.sampled_from((*_CRATES, *_CRATES, *_LEVELS, *_NEW_CODES))
_ASSOCIATE = st.tuples(st.just("associate"), _ONE, st.lists(_ONE, min_size=1, max_size=2), st.sampled_from(Action))
_NEST = st.permutations(_CRATES).map(lambda crates: ("associate", crates[0], [crates[1]], Action.ADD))
_RECODE = st.sampled_from([("recode", new, [old], Action.ADD) for new, old in _NEW_CODES.items()])
_GRADE = st.tuples(st.just("grade"), st.sampled_from((*_LEVELS, *_NEW_CODES)), st.just([]), st.just(Action.ADD))
_IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@settings(max_examples=50)
@given(st.lists(st.one_of(_ASSOCIATE, _ASSOCIATE, _NEST, _RECODE, _GRADE), min_size=8, max_size=20))
def test_whatever_sequence_of_requests_the_batteries_form_a_forest(
    requests: list[tuple[str, str, list[str], Action]],
) -> None:
    with TemporaryDirectory(dir=_IN_MEMORY) as folder, Ledger.open(Path(folder) / "record.sqlite", "test") as ledger:
        for code, level in _LEVELS.items():
            decided(ledger, code, level=level)
        for crate in _CRATES:
            associated(ledger, crate, CELL)
            associated(ledger, crate, CELL, action=Action.DELETE)
        for number, request in enumerate(requests):
            _tried(ledger, number, request)
        _require_forest(ledger)


def _tried(ledger: Ledger, number: int, request: tuple[str, str, list[str], Action]) -> None:
    what, one, others, action = request
    try:
        if what == "grade":
            decided(ledger, one, level=_LEVELS.get(one, Level.CELL), name=str(number))
        elif what == "associate":
            associated(ledger, one, *others, action=action, name=str(number))
        else:
            recoded(ledger, one, *others, rated_capacity_ah=28.0 + number / 100.0)
    except InvalidInput:
        return


def _require_forest(ledger: Ledger) -> None:
    """Entry by entry: nobody has two places, gives its code up twice or is inside itself; the links tell the same."""
    inside, became, seen = dict[str, str](), dict[str, str](), set[str]()
    for leaf in (entry.leaf for entry in ledger):
        body = leaf.body
        if leaf.kind is LeafKind.ASSOCIATION:
            for child in body["children"]:
                assert child in seen
                assert not {child, body["parent"]} & became.keys()
                assert (child in inside) == (body["action"] == "DELETE")
                if body["action"] == "ADD":
                    inside[child] = body["parent"]
                else:
                    assert body["parent"] in _path(inside.pop(child), became)
        elif leaf.kind is LeafKind.RECODING:
            assert leaf.battery_id not in seen
            assert not set(body["old_codes"]) & (became.keys() | inside.keys())
            became |= dict.fromkeys(body["old_codes"], body["new_code"])
        seen.add(str(leaf.battery_id))
        for code in seen:
            _path(code, inside | became)
    with ledger.reading() as reader:
        for code in seen:
            assert (holder(reader, code), successor(reader, code)) == (inside.get(code), became.get(code))
            parts = {child for child, whole in inside.items() if code in _path(whole, became)[-1:]}
            assert code in became or set(direct_parts(reader, code)) == parts


def _path(code: str, following: Mapping[str, str]) -> list[str]:
    """The way from a battery to its root, never twice through one place."""
    path = [code]
    while path[-1] in following:
        path.append(following[path[-1]])
        assert path[-1] not in path[:-1]
    return path
