"""The lattice of interleavings, by the paths that it says it drew."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest

from labsched import lab
from labsched.errors import ConfigError
from labsched.worlds.explorer import explore

SIX = ["AABB", "ABAB", "ABBA", "BAAB", "BABA", "BBAA"]
RACE = [(order, order not in ("AABB", "BBAA")) for order in SIX]
BAD = "#D55E00"


def lines(picture, colour, thick=False):
    found = [
        line for line in picture.axes[0].lines if line.get_color() == colour and len(line.get_xdata()) > 1
    ]
    return [line for line in found if (line.get_linewidth() > 3) is thick]


def written(picture):
    return [text.get_text() for text in picture.axes[0].texts]


def test_good_orders_are_grey_bad_ones_dashed_and_the_shortest_thick():
    picture = lab.lattice(RACE)
    assert len(lines(picture, "#8a8a8a")) == 2
    assert len(lines(picture, BAD)) == 3
    assert len(lines(picture, BAD, thick=True)) == 1
    assert all(line.is_dashed() for line in (*lines(picture, BAD), *lines(picture, BAD, thick=True)))
    assert not any(line.is_dashed() for line in lines(picture, "#8a8a8a"))


def test_the_order_of_the_shortest_bad_path_is_written_on_it_and_in_words():
    picture = lab.lattice(RACE)
    assert picture.data[picture.data.shortest].order.tolist() == [
        "ABBA"
    ]  # changes sides twice, ABAB three times
    assert [text for text in written(picture) if text in ("A", "B")] == ["A", "B", "B", "A"]
    assert picture.alt.endswith("4 of 6 orders are bad. The shortest bad order is A, B, B, A.")
    assert picture.texts[0].get_text() == "4 of 6 orders are bad"


def test_a_leads_to_the_right_and_b_down():
    picture = lab.lattice([("AAB", True)])
    (path,) = lines(picture, BAD, thick=True)
    assert path.get_xydata().tolist() == [[0, 0], [1, 0], [2, 0], [2, 1]]
    bottom, top = picture.axes[0].get_ylim()
    assert bottom > top


def test_no_two_of_a_few_paths_lie_on_each_other():
    tracks = [tuple(map(tuple, line.get_xydata())) for line in lab.lattice(RACE).axes[0].lines
              if len(line.get_xdata()) == 5]  # fmt: skip
    edges = [edge for track in tracks for edge in pairwise(track)]
    assert len(tracks) == 6 and len(set(edges)) == 24


def test_fewer_commands_are_shorter_than_fewer_changes():
    picture = lab.lattice([("AABBB", "slow"), ("ABAB", "short"), ("BBB", False)])
    assert picture.data[picture.data.shortest].why.tolist() == ["short"]
    assert "A, B, A, B (short)" in picture.alt


def test_the_steps_are_named_along_the_edges():
    picture = lab.lattice(RACE, {"A": ["GET lock", "SET lock A"], "B": ["GET lock", "SET lock B"]})
    assert {"A1 GET lock", "A2 SET lock A", "B1 GET lock", "B2 SET lock B"} <= set(written(picture))
    assert {"A1", "A2", "B1", "B2"} <= set(written(lab.lattice(RACE)))


def test_many_orders_are_drawn_as_streets_that_are_wider_where_more_pass():
    orders = [
        "".join("A" if n in chosen else "B" for n in range(12)) for chosen in combinations(range(12), 6)
    ]
    picture = lab.lattice([(order, order.startswith("AB")) for order in orders])
    assert len(picture.data) == 924 and picture.data.bad.sum() == 252
    good, bad = lines(picture, "#8a8a8a"), lines(picture, BAD)
    assert (
        len(good) + len(bad) < 2 * 84 + 1
    )  # 84 edges, of which each is drawn once for good and once for bad
    widths = {line.get_linewidth() for line in bad}
    assert max(widths) == pytest.approx(3.0) and min(widths) < 1.0
    assert len(lines(picture, BAD, thick=True)) == 1


def test_deaths_and_pauses_are_marked_where_they_happen():
    picture = lab.lattice([("A!BB", "never freed"), ("AB~BA", True)])
    assert "A dies, B, B (never freed)" in picture.alt
    marks = {line.get_marker(): tuple(line.get_xydata()[0].round()) for line in picture.axes[0].lines}
    assert marks["X"] == (1, 0) and marks["d"] == (1, 1)
    assert {"client dies", "time passes"} <= {text.get_text() for text in picture.legends[0].get_texts()}


def test_all_good_is_said_so_and_nothing_is_red():
    picture = lab.lattice([(order, False) for order in SIX])
    assert picture.texts[0].get_text() == "All 6 orders are good"
    assert not lines(picture, BAD) and not picture.data.shortest.any()


def test_what_explore_returns_is_drawn_with_its_commands():
    async def look_then_take(client, redis):
        if await redis.get("lock") is None:
            await redis.set("lock", client)
            return True

    explored = explore(look_then_take)
    picture = lab.lattice(explored)
    assert picture.data.order.tolist() == explored.orders.order.tolist()
    assert picture.data.bad.sum() == explored.bad == 4
    assert picture.data[picture.data.shortest].order.tolist() == [explored.shortest.order]
    assert {"A1 GET lock", "B1 GET lock"} <= set(written(picture))
    assert explored.shortest.why in picture.alt


def test_other_clients_and_no_orders_are_refused_in_one_line():
    with pytest.raises(
        ConfigError, match="^a lattice shows the orders of two clients, A and B; 'ABC' is none$"
    ):
        lab.lattice([("ABC", True)])
    with pytest.raises(ConfigError, match="nothing was explored"):
        lab.lattice([])


def test_the_same_orders_give_the_same_bytes_and_columns():
    assert lab.lattice(RACE).png() == lab.lattice(RACE).png()
    assert list(lab.lattice(RACE).data.columns) == ["order", "bad", "why", "shortest", "steps"]
