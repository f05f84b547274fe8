"""What notebook 16 hunts, and with what: mutants leave nothing behind, and the stored sweep is what its seeds say."""

import csv

import pytest

from labsched import wire
from labsched.errors import ConfigError
from labsched.lab.exercises import hunting, n16_ledgers
from labsched.lab.exercises.bounded import Endless, bounded
from labsched.lab.exercises.mutants import MUTANTS, mutant, reveal
from labsched.lab.stored import n16
from labsched.scripts import script


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_sent_inside_its_block_and_nowhere_else(name):
    changed = MUTANTS[name].scripts[-1]
    with mutant(name):
        assert wire.script(changed)[0] != script(changed)[0]
    assert wire.script(changed) == script(changed)
    assert reveal(name).count("\n-") >= 1


def test_an_unknown_mutant_is_one_clear_line():
    with pytest.raises(ConfigError, match="there is no mutant 'dodo', there are heron"), mutant("dodo"):
        pass


def test_a_mutant_whose_text_is_gone_says_so(monkeypatch):
    monkeypatch.setitem(MUTANTS, "dodo", type(MUTANTS["jay"])("", ("drain",), (("no such text", ""),)))
    with pytest.raises(ConfigError, match="the script drain has nothing that dodo changes"), mutant("dodo"):
        pass


def test_the_stored_sweep_knows_the_heron_by_its_seeds():
    with (n16.FOLDER / "16-hunt.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == n16.SEEDS
    assert not any(row["healthy"] for row in rows)
    seed = next(int(row["seed"]) for row in rows if row["heron"])
    assert "no-stale-write" in {violation.guarantee for violation in n16.heron(seed).check().violations}
    assert hunting.run(seed).check().ok


def test_the_reference_invariant_tells_stored_mutants_from_healthy_histories():
    for name, found in n16_ledgers.stored().items():
        assert found
        assert all(bool(n16_ledgers.broken(lines)) == (name != "healthy") for lines in found)


def test_a_ledger_holds_no_name_of_the_cluster():
    lines = n16_ledgers.ledger(hunting.run(0))
    assert {line["holder"].split()[0] for line in lines} == {"holder"}
    assert sorted({line["token"] for line in lines}) == list(
        range(1, 1 + len({line["token"] for line in lines}))
    )


def test_an_endless_loop_ends_with_its_line():
    def loop():
        while True:
            pass

    with pytest.raises(Endless, match="1,000 lines without returning"):
        bounded(loop, lines=1000)
    assert bounded(lambda: 7) == 7
