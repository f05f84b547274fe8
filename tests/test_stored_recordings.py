"""The recordings in data/: they load, break what the README says, and can be made again."""

from __future__ import annotations

import re

import course
import pytest

from labsched.lab import zoo
from labsched.lab.stored.recordings import FOLDER, RECORDINGS
from labsched.worlds import load

DATA = course.ROOT / "data"
README = (DATA / "README.md").read_text()
NAMED = {
    name: re.findall(r"`([a-z-]+)`", named)
    for name, named in re.findall(r"^\| `([a-z0-9-]+)` \| .+ \| ([^|]+) \|$", README, re.MULTILINE)
}


def test_there_is_a_healthy_hour_and_every_exhibit_of_the_zoo_and_the_readme_tells_of_each():
    there = {path.name.removesuffix(".json.gz") for path in FOLDER.iterdir()}
    assert there == RECORDINGS.keys() == NAMED.keys() == {"healthy-hour", *(x.id for x in zoo.EXHIBITS)}
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 3_000_000


@pytest.mark.parametrize("name", RECORDINGS)
def test_its_checks_name_what_the_readme_says_and_nothing_else(name):
    rec = load(FOLDER / f"{name}.json.gz")
    found = {result.id for result in rec.check().results if result.violations}
    assert found == set(NAMED[name])


@pytest.mark.parametrize("exhibit", zoo.EXHIBITS, ids=lambda exhibit: exhibit.id)
def test_an_exhibit_breaks_first_what_it_stands_for_and_made_again_it_tells_the_same(exhibit):
    assert NAMED[exhibit.id][0] == exhibit.guarantee
    assert RECORDINGS[exhibit.id]().digest == load(FOLDER / f"{exhibit.id}.json.gz").digest


def test_the_healthy_hour_is_an_hour_and_long_enough_to_test_what_a_healthy_cluster_can_be_tested_for():
    rec = load(FOLDER / "healthy-hour.json.gz")
    assert rec.ended - rec.started == 3600 and not rec.fault_log
    assert f"{len(rec.history):,} events, {len(rec.message_log):,} messages, seed {rec.seed}" in README
    report = rec.check()
    tested = {result.id for result in report.results if result.tested > 1000}
    assert {"one-holder", "one-execution-per-slot", "nothing-lost", "legal-transitions"} <= tested
    assert not re.search(r'"/\w', str(rec.options))  # no path of the machine that made it
