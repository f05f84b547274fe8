"""The space-time picture, by what it says it drew: messages, leases, tokens, refusals, the violated moment."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from histories import History, X
from matplotlib.patches import FancyArrowPatch, Rectangle

from labsched import lab
from labsched.errors import ConfigError
from labsched.worlds.messages import Message
from labsched.worlds.simulated.simulation import Simulation

PNG = b"\x89PNG\r\n\x1a\n"
COLUMNS = ["kind", "band", "to", "start", "end", "halt", "name", "lost", "token", "rank", "label"]


def message(sent, arrived, source, destination, kind="request", name="claim", lost=""):
    return Message(sent, arrived, source, destination, kind, name, 10, lost)


def trip(at, who="i1", name="heartbeat", takes=0.001):
    """A request and its reply."""
    there, back = at + takes, at + 2 * takes
    return [
        message(at, there, who, "server", "request", name),
        message(there, back, "server", who, "reply", name),
    ]


def picture(h, messages, end=30, start=None, until=None, **more):
    return lab.spacetime(h.rec(end, message_log=messages), start, until, **more)


def of(drawn, *kinds):
    return drawn.data[drawn.data.kind.isin(kinds)]


def two() -> History:
    return History().at(0.1).join("i1", 1).join("i2", 2).elect("i1", 3, token=1)


def doubled() -> History:
    """The slot of 10 s becomes two executions at 10.2 s, since i1 was paused from 7 s on."""
    h = two().at(7).fault("pause", "i1").at(10).ready(X(10) + "#i2", slot=10, instance="i2", by="i2")
    h.run(X(10) + "#i2", 20, "i2").at(10.1).fault("resume", "i1")
    return h.at(10.2).ready(X(10) + "#i1", slot=10, by="i1").run(X(10) + "#i1", 21, "i1")


def test_every_message_is_an_arrow_from_sender_to_receiver():
    found = of(
        picture(two(), [*trip(1.0, takes=0.1), *trip(2.0, "i2", "claim")], start=0, until=5),
        "request",
        "reply",
    )
    assert found[["band", "to", "start", "end", "name"]].values.tolist() == [
        ["i1", "server", 1.0, 1.1, "heartbeat"],
        ["server", "i1", 1.1, 1.2, "heartbeat"],
        ["i2", "server", 2.0, 2.001, "claim"],
        ["server", "i2", 2.001, 2.002, "claim"],
    ]


def test_a_lost_message_has_no_end_but_a_reason():
    drawn = picture(two(), [message(1, None, "i1", "server", lost="partition")], start=0, until=5)
    assert of(drawn, "request").end.isna().tolist() == [True]
    assert of(drawn, "request").lost.tolist() == ["partition"]
    assert "1 message got lost." in drawn.alt
    written = [text.get_text() for text in drawn.axes[0].texts]
    assert "claim: cut off" in written
    assert "claim" not in written  # the reason replaces the plain name


def signs(drawn, marker):
    """Where that marker stands: (time, inches from the top)."""
    return [
        tuple(line.get_xydata()[0].round(3)) for line in drawn.axes[0].lines if line.get_marker() == marker
    ]


def test_what_the_data_says_is_on_the_paper():
    h = doubled().at(0.2).note("joined", "i1", 1, lease=4.0, lease_margin=1.0, cancel_grace=0.5)
    h.at(8).note("proved", "i1", 1, sent=7.9).at(10.9).note("lease-lost", "i1", 1, deadline=10.9)
    log = [*trip(9.0, takes=0.1), message(9.5, None, "i1", "server", lost="lossy")]
    drawn = picture(h, log, guarantee="one-execution-per-slot")
    axes = drawn.axes[0]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert [patch._posA_posB[0][0] for patch in arrows] == [9.0, 9.1]
    assert [patch._posA_posB[1][0] for patch in arrows] == pytest.approx([9.1, 9.2])
    down, up = ((patch._posA_posB[0][1], patch._posA_posB[1][1]) for patch in arrows)
    assert down == up[::-1] and down[0] < down[1]  # from i1 down to the server, and back
    assert len(signs(drawn, "X")) == 1 and [x for x, _ in signs(drawn, "D")] == [10.9]
    assert [x for x, _ in signs(drawn, "o")] == [10.2, 10.2] and len({y for _, y in signs(drawn, "o")}) == 2
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    edges = {(round(box.get_x(), 3), round(box.get_x() + box.get_width(), 3)) for box in boxes}
    assert {(7.9, 10.9), (10.9, 11.9)} <= edges  # the lease, and its margin
    assert {(10.0, 30.0), (10.2, 30.0)} <= edges  # both attempts


def test_only_messages_under_way_in_the_window_are_drawn():
    log = [
        message(1, 1.1, "i1", "server"),
        message(1.9, 2.1, "i1", "server"),
        message(4, 4.1, "i1", "server"),
    ]
    assert of(picture(two(), log, start=2, until=3), "request").start.tolist() == [1.9]


def test_beyond_150_messages_heartbeats_go_first_and_lost_ones_stay():
    beats = [part for n in range(100) for part in trip(1 + n * 0.05)]
    claims = [part for n in range(30) for part in trip(1 + n * 0.1, "i2", "claim")]
    lost = [message(1 + n * 0.1, None, "i1", "server", name="heartbeat", lost="lossy") for n in range(10)]
    drawn = picture(two(), [*beats, *claims, *lost], start=0, until=8)
    kept = of(drawn, "request", "reply")
    assert len(kept) == 150
    only_lost = [message(n * 0.01, None, "i1", "server", lost="lossy", name="heartbeat") for n in range(100)]
    mixed = of(picture(two(), [*only_lost, *claims, *claims], start=0, until=8), "request")
    assert (mixed.lost == "lossy").sum() == 100  # before any claim that arrived
    assert (kept.name == "claim").sum() == 60 and (kept.lost == "lossy").sum() == 10
    title = drawn.texts[0].get_text()
    assert "150 of 270 messages (120 left out, heartbeats first)" in title
    assert "120 are not drawn" in drawn.alt


def test_heartbeats_beside_the_fault_are_kept_longer_than_those_far_away():
    beats = [part for n in range(100) for part in trip(1 + n * 0.1)]
    drawn = picture(two().at(6).fault("kill", "i2"), beats, start=0, until=12)
    kept = of(drawn, "request", "reply").start
    assert len(kept) == 150 and kept.min() > 2 and kept.max() < 10


def test_a_lease_is_what_was_proved_and_its_margin_belongs_to_nobody():
    h = two().at(0.2).note("joined", "i1", 1, lease=4.0, lease_margin=1.0, cancel_grace=0.5)
    for sent in (1.0, 2.0, 9.0):
        h.at(sent + 0.1).note("proved", "i1", 1, sent=sent)
    leases = of(picture(h, trip(1.0), start=0, until=20), "lease")
    assert leases[["band", "start", "halt", "end", "rank"]].values.tolist() == [
        ["i1", 1.0, 5.0, 6.0, 1],
        ["i1", 9.0, 12.0, 13.0, 1],
    ]


def test_being_told_of_a_lost_lease_is_marked_once_though_alarm_and_loop_both_say_so():
    h = two().at(0.2).note("joined", "i1", 1, lease=4.0, lease_margin=1.0, cancel_grace=0.5)
    h.at(5).note("lease-lost", "i1", 1, deadline=5.0, by="alarm").at(5.5).note(
        "lease-lost", "i1", 1, deadline=5.0
    )
    told = of(picture(h, trip(1.0), start=0, until=20), "told")
    assert told[["band", "start"]].values.tolist() == [["i1", 5.0]]


def test_attempts_locks_and_leadership_carry_the_ranks_that_sentences_use():
    h = two().at(1).ready(X(1), slot=1).take("task:tick", 20, "i2", until=9, x=X(1)).run(X(1), 20, "i2")
    h.at(2).done(X(1), 20, "i2").release("task:tick", 20, "i2", x=X(1)).take("export", 21, "i1", until=9)
    drawn = of(picture(h, trip(1.0), start=0, until=5), "attempt", "lock", "leader")
    assert drawn[["kind", "band", "label", "rank"]].values.tolist() == [
        ["leader", "i1", "leads", 3],
        ["lock", "i1", "lock export", 5],
        ["attempt", "i2", "tick", 4],  # the lock of its task has its token, and is not drawn beside it
    ]


def test_refused_writes_are_marked_with_what_and_why():
    h = two().at(3).add("REFUSED", instance="i1", token=1, what="heartbeat", why="incarnation")
    drawn = picture(h, trip(1.0), start=0, until=5)
    refused = of(drawn, "refused")
    assert refused[["band", "start", "name", "label", "rank"]].values.tolist() == [
        ["i1", 3.0, "heartbeat", "incarnation", 1]
    ]
    assert "refused: i1 heartbeat #1 (incarnation)" in [text.get_text() for text in drawn.axes[0].texts]
    assert "1 stale write refused." in drawn.alt


def test_the_words_of_two_refusals_do_not_run_into_each_other_at_the_right_edge_either():
    h = two()
    for at, token in ((2.9, 1), (4.6, 2)):
        h.at(at).add("REFUSED", instance="i1", token=token, what="heartbeat", why="incarnation")
    drawn = picture(h, trip(1.0), start=0, until=5)
    words = [text for text in drawn.axes[0].texts if text.get_text().startswith("refused")]
    assert [text.get_ha() for text in words] == ["left", "right"]
    drawn.canvas.draw()
    first, second = (text.get_window_extent() for text in words)
    assert not first.overlaps(second)


def test_the_violated_moment_is_ringed_on_the_lines_of_its_events_with_its_sentence():
    drawn = picture(doubled(), trip(1.0), guarantee="one-execution-per-slot")
    rings = of(drawn, "violation")
    assert rings.band.tolist() == ["i1", "i2"] and rings.start.tolist() == [10.2, 10.2]
    assert set(rings.name) == {"one-execution-per-slot"}
    sentence = rings.label.iloc[0]
    assert sentence.startswith("slot 10s of tick became tick@10s#i1 at 10.200 s")
    assert any(sentence[:60] in text.get_text() for text in drawn.texts)
    assert sentence in drawn.alt


def test_a_violation_outside_the_window_is_not_ringed():
    drawn = picture(doubled(), trip(1.0), start=1, until=5, guarantee="one-execution-per-slot")
    assert of(drawn, "violation").empty and "violated" not in drawn.alt


@pytest.mark.parametrize(
    ("kind", "more", "label", "end"),
    [
        ("hog", {"duration": 2.5}, "loop blocked for 2.5 s", 4.5),
        ("lose", {"direction": "replies", "count": 1}, "next messages lost 2.0 s", 2.0),
        ("skew", {"offset": -5.0, "drift": None}, "clock -5 s at 2.0 s", 2.0),
        ("partition", {"direction": "replies"}, "cut off (replies only) for 28.0 s", 30.0),
        ("slow", {"added": 1.0}, "slow for 28.0 s", 30.0),
    ],
)
def test_each_fault_is_called_by_its_name_and_lasts_as_long_as_it_does(kind, more, label, end):
    drawn = picture(two().at(2).fault(kind, "i1", **more), trip(1.0), start=0, until=5)
    assert label in [text.get_text() for text in drawn.axes[0].texts]
    assert of(drawn, "fault").end.tolist() == [end]


def test_without_a_window_it_shows_the_first_violation_from_its_fault_on():
    assert picture(doubled(), trip(1.0), guarantee="one-execution-per-slot").axes[0].get_xlim() == (6.0, 11.7)


def test_without_a_violation_it_shows_the_first_fault_and_what_came_of_it():
    h = two().at(8).fault("kill", "i2").at(12).gone("i2", 2, until=12).at(25).elect("i1", 9, token=1)
    assert picture(h, trip(1.0), guarantee="effect-once").axes[0].get_xlim() == (6.5, 13.5)


def test_the_window_reaches_to_the_end_of_a_fault_that_ends_by_itself():
    h = two().at(5).fault("restart_server", "server", down=2)
    assert picture(h, trip(1.0), guarantee="effect-once").axes[0].get_xlim() == (3.5, 8.5)


def test_without_anything_to_see_it_shows_the_first_seconds():
    assert picture(two(), trip(1.0), guarantee="effect-once").axes[0].get_xlim() == (0.0, 3.0)


def test_a_wrong_clock_is_written_beside_the_name_once_it_is_wrong():
    h = two().at(2).fault("skew", "i1", offset=3600.0).at(3).fault("skew", "i1", offset=-5.0, drift=0.01)
    before, after = (
        [text.get_text() for text in picture(h, trip(1.0), start=0, until=until).axes[0].texts]
        for until in (1, 5)
    )
    assert "clock +3,595 s +0.01 s/s" in after and not any("clock" in text for text in before)


def test_each_of_several_servers_has_its_line_and_its_faults():
    log = [message(1, 1.1, "i1", "server1"), message(1, 1.1, "i1", "server2")]
    h = two().at(2).fault("kill", "server3").at(3).fault("skew", "server2", offset=1.5)
    drawn = picture(h, log, start=0, until=5)
    written = [text.get_text() for text in drawn.axes[0].texts]
    assert {"i1", "i2", "server1", "server2", "server3", "server3 killed 2.0 s"} <= set(written)
    assert "server2 clock +1.5 s at 3.0 s" in written
    (down,) = [box for box in drawn.axes[0].patches if isinstance(box, Rectangle) and box.get_x() == 2]
    assert down.get_y() > 0.5  # in the lane of server3 alone


def test_a_recording_without_messages_is_refused_in_one_line():
    with pytest.raises(
        ConfigError, match="^the recording holds no messages: it was made with messages=False$"
    ):
        picture(two(), [])
    with pytest.raises(ConfigError, match="nobody sees the wire of a real world"):
        lab.spacetime(two().rec(5, world="real"))


def test_a_window_outside_and_an_unknown_guarantee_are_refused_in_one_line():
    with pytest.raises(ConfigError, match="nothing lies between start 40 s and end 30 s"):
        picture(two(), trip(1.0), start=40)
    with pytest.raises(ConfigError, match="no guarantee 'one-bolder', there are one-holder"):
        picture(two(), trip(1.0), guarantee="one-bolder")


def test_an_empty_window_is_drawn_and_has_the_same_columns_and_types():
    empty = picture(History(), trip(1.0), start=5, until=6)
    full = picture(doubled(), trip(1.0), guarantee="one-execution-per-slot")
    assert list(empty.data.columns) == list(full.data.columns) == COLUMNS
    assert empty.data.dtypes.tolist() == full.data.dtypes.tolist() and empty.data.empty
    assert empty.png().startswith(PNG)


def test_names_are_never_read_as_mathematics():
    h = two().at(1).take("$$", 20, "$x_i$", until=8)
    log = [message(1, 1.1, "$x_i$", "server", name="$a$"), message(1.2, None, "a$b$", "server", lost="$l$")]
    assert picture(h, log, start=0, until=5).png().startswith(PNG)


def test_a_simulated_run_with_a_killed_leader_is_drawn_alike_each_time():
    with Simulation(instances=3, seed=7, tasks="data/tasks.yml") as sim:
        sim.at(6).kill("leader")
        rec = sim.run(until=15)
    drawn = lab.spacetime(rec)
    victim = rec.faults.target[0]
    killed = of(drawn, "kill", "fault")
    assert killed[["band", "start"]].values.tolist() == [[victim, 6.0]]
    leases = of(drawn, "lease")
    assert set(leases.band) == {"i1", "i2", "i3"}
    cut_short = leases[leases.band == victim].iloc[0]
    assert 6 < cut_short.halt < cut_short.end < 10.1  # it runs on after the kill, for a lease at most
    led = of(drawn, "leader")
    assert led.halt.tolist()[led.band.tolist().index(victim)] == 6.0
    assert set(of(drawn, "request").to) == {"server"}
    assert drawn.png() == lab.spacetime(rec).png() and drawn._repr_png_()[1] == {"alt": drawn.alt}


# --- the causal past


def past(drawn, **which):
    """The names of what happened before that row: kind and name of messages, kind of the rest."""
    found = drawn.causal_past(row_of(drawn, **which))
    return {f"{row['name']} {row.kind}" if pd.notna(row.to) else row.kind for _, row in found.iterrows()}


def row_of(drawn, **which):
    (row,) = drawn.data.index[
        [all(row[k] == v for k, v in which.items()) for _, row in drawn.data.iterrows()]
    ]
    return row


def said(at, who, name, *, back=True, there=True, takes=0.1):
    """A request with its reply; without `there` the request is lost, without `back` the reply."""
    asked = message(
        at, at + takes if there else None, who, "server", "request", name, "" if there else "lost"
    )
    if not there:
        return [asked]
    over = at + 2 * takes if back else None
    return [asked, message(at + takes, over, "server", who, "reply", name, "" if back else "lost")]


def test_the_past_of_a_message_follows_lines_and_arrivals_and_nothing_else():
    log = [*said(1, "i1", "a"), *said(2, "i2", "b"), *said(3, "i1", "c"), *said(3.05, "i2", "d")]
    drawn = picture(two(), log, start=0.5, until=5)
    # i2 heard of a through the server, in the reply to b; c had left before d arrived, and d before c's reply came.
    assert past(drawn, name="d", kind="request") - {"leader"} == {
        *("a request", "a reply", "b request", "b reply", "d request"),
    }
    assert past(drawn, name="c", kind="request") - {"leader"} == {"a request", "a reply", "c request"}
    assert past(drawn, name="a", kind="request") == {"a request"}  # it had not been told that it leads


def test_a_request_never_received_tells_nobody_but_its_own_line():
    log = [*said(1, "i1", "a", there=False), *said(2, "i2", "b"), *said(3, "i1", "c"), *said(4, "i2", "d")]
    drawn = picture(two(), log, start=0.5, until=5)
    assert "a request" not in past(drawn, name="b", kind="reply")
    # The server learns that i1 had sent it from what i1 says next, and so does i2 later.
    assert {"a request", "c request"} <= past(drawn, name="c", kind="reply")
    assert "a request" not in past(drawn, name="d", kind="request")
    assert {"a request", "c request", "c reply"} <= past(drawn, name="d", kind="reply")


def test_a_lost_reply_leaves_its_asker_ignorant_of_what_the_server_did():
    log = [*said(1, "i1", "a"), *said(2, "i2", "b", back=False), *said(3, "i2", "c"), *said(4, "i2", "d")]
    drawn = picture(two(), log, start=0.5, until=5)
    assert past(drawn, name="c", kind="request") == {"b request", "c request"}
    assert {"a request", "b reply"} <= past(drawn, name="d", kind="request")  # the reply to c told it


def test_what_a_crashed_instance_sent_counts_and_what_was_sent_to_it_does_not():
    log = [*said(1.95, "i1", "a"), *said(3, "i2", "b")]
    log[1] = log[1]._replace(arrived=None, lost="dead")
    drawn = picture(two().at(2).fault("kill", "i1").at(2.5).fault("restart", "i1"), log, start=0.5, until=5)
    assert past(drawn, kind="fault", name="kill") == {"a request", "fault"}
    assert "a request" in past(drawn, name="b", kind="reply")
    assert "fault" not in past(drawn, name="b", kind="reply")  # nobody was told of the kill


def test_a_paused_instance_wakes_up_knowing_only_what_it_knew_and_what_arrived_meanwhile():
    log = [*said(1, "i1", "a"), *said(3, "i2", "b"), *said(6, "i1", "late", there=False)]
    log += [message(3.5, 3.6, "server", "i1", "reply", "told"), *said(7, "i1", "c")]
    log.sort()
    drawn = picture(two().at(2).fault("pause", "i1").at(5).fault("resume", "i1"), log, start=0.5, until=8)
    assert past(drawn, kind="fault", name="pause") - {"leader"} == {"a request", "a reply", "fault"}
    assert past(drawn, name="late", kind="request") >= {"told reply", "b request", "b reply", "fault"}
    assert "late request" in past(drawn, name="c", kind="request")


def test_messages_that_are_left_out_of_the_picture_or_its_window_carry_knowledge_too():
    log = [*said(1, "i1", "a"), *(part for n in range(200) for part in trip(2 + n * 0.01, "i2"))]
    log += said(6, "i2", "b")
    drawn = picture(two(), log, start=5, until=7)
    assert past(drawn, name="b", kind="request") == {
        "b request",
        "leader",
    }  # its election, by a heartbeat at 2 s
    assert len(of(picture(two(), log, start=0, until=7), "request", "reply")) == 150


def test_what_the_server_wrote_down_has_everything_in_its_past_that_had_reached_the_server():
    log = [*said(9.0, "i1", "a"), *said(10.1495, "i2", "b", takes=0.0507), *said(10.25, "i1", "c")]
    drawn = picture(doubled(), log, start=6, until=11.7, guarantee="one-execution-per-slot")
    for who in ("i1", "i2"):
        found = past(drawn, kind="violation", band=who)
        # b arrived within the millisecond that history gives the violation.
        assert {"a request", "b request", "attempt"} <= found and "c request" not in found


def test_at_one_instant_the_order_of_the_log_decides():
    log = [
        message(1, 1, "i1", "server", "request", "a"),
        message(1, 1, "server", "i1", "reply", "a"),
        message(1, 1, "i1", "server", "request", "b"),
    ]
    drawn = picture(two(), log, start=0.5, until=2)
    assert past(drawn, name="b", kind="request") >= {"a request", "a reply"}
    assert "b request" not in past(drawn, name="a", kind="reply")


def test_an_answer_follows_its_question_though_the_sum_of_an_arrival_is_a_digit_too_large():
    log = [message(1, 2.0000000000000004, "i1", "server"), message(2, 3, "server", "i1", "reply")]
    drawn = picture(two(), log, start=0.5, until=4)
    assert "claim request" in past(drawn, name="claim", kind="reply")
    assert drawn.interactive().marks[0]["said"].endswith("reply sent at 2.000 s, arrived at 3.000 s")


def test_there_is_no_past_of_a_row_that_there_is_not():
    drawn = picture(two(), trip(1.0), start=0, until=2)
    with pytest.raises(ConfigError, match="the picture has no row 99: 3 things are drawn, from 0 on"):
        drawn.causal_past(99)


# --- the widget


def test_each_mark_of_the_svg_belongs_to_a_row_and_each_row_in_the_window_has_a_mark():
    log = [*trip(9.0, takes=0.1), message(9.5, None, "i1", "server", lost="lossy")]
    drawn = picture(doubled(), log, guarantee="one-execution-per-slot")
    ids = re.findall(r'id="(mark-(\d+)-\d+)"', drawn.interactive().svg)
    assert len({full for full, _ in ids}) == len(ids)
    assert {int(row) for _, row in ids} == {*drawn.data.index}


def test_a_mark_says_who_sent_what_when_and_what_became_of_it():
    log = [
        *said(1, "i1", "a"),
        *said(2, "i1", "b", there=False),
        *said(3, "i1", "b"),
        *said(4, "i2", "c", back=False),
    ]
    h = two().at(4.5).take("export", 21, "i1", until=9).at(4.8).fault("kill", "i2")
    drawn = picture(h, log, start=0.5, until=5)
    words = [mark["said"] for mark in drawn.interactive().marks]
    assert words[0] == (
        "i1 to server: request a, sent at 1.000 s, arrived at 1.100 s; reply sent at 1.100 s, arrived at 1.200 s"
    )
    assert words[2] == "i1 to server: request b, sent at 2.000 s, lost (lost)"
    assert words[3].endswith("reply sent at 3.100 s, arrived at 3.200 s")
    assert words[5].endswith("reply sent at 4.100 s, lost (lost)")
    assert {"i1 holds lock export #4, 4.500 to 9.000 s", "i2 killed 4.8 s"} <= {*words}


def test_the_widget_is_the_picture_for_who_has_no_front_end():
    drawn = picture(two(), trip(1.0), start=0, until=2)
    view = drawn.interactive()
    data, meta = view._repr_mimebundle_()
    assert data["image/png"] == drawn.png() and meta["image/png"] == {"alt": drawn.alt}
    assert data["text/plain"] == repr(view) == f"<interactive {repr(drawn)[1:]}"
    assert (
        "<svg" not in str(data["text/plain"]) and "text/html" not in data
    )  # a stored notebook keeps the PNG alone
    assert view.chosen is None and view.wide == 1265
