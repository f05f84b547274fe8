"""An answer is judged on copies that share nothing, whatever the learner's notebook holds."""

from __future__ import annotations

import json
from functools import partial

import pytest

from labsched.errors import ConfigError
from labsched.lab.exercises.answers import rebuilt

TIMES = 3
seen: dict[str, bool] = {}


class Shared:
    taken = False


def helper(n):
    return n * TIMES


def plain(n, more=TIMES):
    return json.dumps([helper(n), more])


def cheating(n):
    seen[n] = True


def cheating_in_a_class(n):
    Shared.taken = True


def remembering(n, known=[]):  # noqa: B006
    known.append(n)
    return known


def itself(n):
    return 1 if n < 2 else n * itself(n - 1)


def test_it_is_the_same_function_with_what_it_names():
    assert rebuilt(plain)(2) == "[6, 3]" and rebuilt(itself)(4) == 24


def test_copies_share_no_globals_no_classes_and_no_defaults():
    for cheat in (cheating, cheating_in_a_class):
        with pytest.raises(NameError):
            rebuilt(cheat)("a")
    assert rebuilt(remembering)(1) == [1] and rebuilt(remembering)(2) == [2]
    assert seen == {} and Shared.taken is False


def test_an_error_points_at_the_learners_line():
    with pytest.raises(NameError) as told:
        rebuilt(cheating)("a")
    assert told.traceback[-1].lineno + 1 == cheating.__code__.co_firstlineno + 1
    assert str(told.traceback[-1].path) == __file__


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (3, "has to be a function, not int"),
        (partial(plain, 1), "has to be a function, not partial"),
        (lambda: 1, "made with def"),
        (eval("(lambda: (lambda: 0))()"), "made with def"),
    ],
)
def test_what_cannot_be_rebuilt_is_told_in_one_line(answer, told):
    with pytest.raises(ConfigError, match=told):
        rebuilt(answer)


def test_a_function_without_source_or_with_a_closure_is_told():
    made: dict = {}
    exec("def nowhere(): pass", made)
    with pytest.raises(ConfigError, match="nowhere has no source"):
        rebuilt(made["nowhere"])

    def inner():
        return made

    with pytest.raises(ConfigError, match="inner uses names of a function around it"):
        rebuilt(inner)
