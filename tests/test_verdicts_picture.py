"""Two small pictures: what breaks under which fault, and the same figures from both worlds."""

import pandas as pd
import pytest

from labsched.errors import ConfigError
from labsched.lab.pictures.overlays import overlay
from labsched.lab.pictures.verdicts import verdicts

TABLE = pd.DataFrame({"lock": ["no-stale-write", ""], "fence": ["", ""]}, index=["pause", "kill"])


def test_verdicts_say_in_words_what_held_and_what_broke():
    picture = verdicts(TABLE, title="Which breaks")
    assert list(picture.data.columns) == ["row", "column", "held", "text"]
    assert picture.data.held.tolist() == [False, True, True, True]
    assert picture.alt == "pause: breaks lock (no-stale-write). kill: all hold."
    assert picture.png() == verdicts(TABLE, title="Which breaks").png()


def test_verdicts_on_nothing_are_one_clear_line():
    with pytest.raises(ConfigError, match="there is nothing to draw"):
        verdicts(pd.DataFrame(), title="")


def test_an_overlay_has_every_figure_of_both_worlds_and_the_bound():
    picture = overlay({"lead": [1.5, 1.8]}, {"lead": [1.7]}, {"lead": 2.0}, title="Both")
    assert [tuple(row) for row in picture.data.itertuples(index=False)] == [
        ("lead", "simulated", 1.5),
        ("lead", "simulated", 1.8),
        ("lead", "real", 1.7),
        ("lead", "bound", 2.0),
    ]
    assert (
        picture.alt == "lead: simulated 1.5 to 1.8 s in 2 runs, real 1.7 to 1.7 s in 1 runs; at most 2.0 s."
    )
    assert picture.png() == overlay({"lead": [1.5, 1.8]}, {"lead": [1.7]}, {"lead": 2.0}, title="Both").png()


def test_an_overlay_without_a_simulated_run_is_one_clear_line():
    with pytest.raises(ConfigError, match="there is no simulated run of 'lead'"):
        overlay({}, {"lead": [1.0]}, {"lead": 2.0}, title="")
