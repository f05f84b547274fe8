"""Pictures for a projector."""

from __future__ import annotations

import struct

import pandas as pd
import pytest

from labsched import lab
from labsched.errors import ConfigError


@pytest.fixture
def back():
    yield
    lab.style("notebook")


def width(picture):
    """Pixels, from the PNG's header."""
    return struct.unpack(">I", picture._repr_png_()[0][16:20])[0]


def test_a_talk_shows_the_same_picture_larger_and_it_can_be_taken_back(back):
    frame = pd.DataFrame({"lease": [1.0, 2.0], "gap": [1.0, 2.0]})
    picture = lab.sweep_picture(frame, x="lease", y="gap")
    before = width(picture)
    lab.style("talk")
    assert width(picture) == pytest.approx(before * 1.6, rel=0.02)
    lab.style("notebook")
    assert width(picture) == before


def test_an_unknown_style_is_refused_in_one_line(back):
    with pytest.raises(ConfigError, match="style is 'poster', allowed are notebook, talk"):
        lab.style("poster")
