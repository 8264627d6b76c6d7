"""Rules against a second opinion that looks at the whole history each time, and laws that hold for any input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from alerts.lifecycle import step
from tests.support.alerts import MINUTE, NAN, START, evaluation, metric, metric_rule, psi, rule, run

if TYPE_CHECKING:
    from alerts.evaluation import Evaluation

Word = Literal["bad", "good", "silent"]
SUBJECTS = ("feature:a", "feature:b", "feature:c")


@dataclass(frozen=True)
class Look:
    at: int
    words: tuple[Word, ...]

    def evaluation(self) -> Evaluation:
        sense = {
            "bad": psi("", 0.3, "drifted"),
            "good": psi("", 0.0, "ok"),
            "silent": psi("", NAN, "insufficient"),
        }
        found = [
            structs.replace(sense[word], subject=subject) for subject, word in zip(SUBJECTS, self.words, strict=True)
        ]
        return evaluation(*found, at=self.at)


@st.composite
def looks(draw: st.DrawFn) -> list[Look]:
    word = st.sampled_from(["bad", "good", "good", "silent"])
    steps = draw(st.lists(st.tuples(st.integers(1, 4), st.tuples(word, word, word)), max_size=25))
    at, found = START, []
    for wait, words in steps:
        at += wait * MINUTE
        found.append(Look(at, words))  # type: ignore[arg-type]  # sampled from Word
    return found


def verdict(life: list[Look]) -> Literal["bad", "clear", "unknown"]:
    """What the last look says, given everything since the alert began."""
    last = life[-1].words
    if "bad" in last:
        return "bad"
    if set(last) == {"silent"}:
        return "unknown"
    for place, word in enumerate(last):
        heard = [look.words[place] for look in life if "bad" in look.words and look.words[place] != "silent"]
        if word == "silent" and heard and heard[-1] == "bad":
            return "unknown"
    return "clear"


def second_opinion(found: list[Look], hold: int, resolve: int) -> list[tuple[int, str]]:
    out: list[tuple[int, str]] = []
    life: list[Look] = []
    fires = False
    for look in found:
        if not life and "bad" not in look.words:
            continue
        life.append(look)
        verdicts = [verdict(life[: end + 1]) for end in range(len(life))]
        now = verdicts[-1]
        if now == "bad" and not fires:
            fires = look.at - life[0].at >= hold
            if fires or len(life) == 1:
                out.append((look.at, "firing" if fires else "pending"))
        elif now == "clear" and not fires:
            life = []
        elif now == "clear":
            last_bad = max(place for place, word in enumerate(verdicts) if word == "bad")
            first_clear = last_bad + 1 + verdicts[last_bad + 1 :].index("clear")
            if look.at - life[first_clear].at >= resolve:
                out.append((look.at, "resolved"))
                life, fires = [], False
    return out


minutes = st.integers(0, 8).map(lambda count: count * MINUTE)


@given(looks(), minutes, minutes)
def test_alerts_come_and_go_as_the_whole_history_says(found: list[Look], hold: int, resolve: int) -> None:
    seen, _ = run([rule(hold_ms=hold, resolve_ms=resolve)], [look.evaluation() for look in found])
    assert [(at, state) for at, _, state in seen] == second_opinion(found, hold, resolve)


@given(looks(), minutes, minutes, st.data())
def test_looks_that_say_nothing_change_nothing(found: list[Look], hold: int, resolve: int, data: st.DataObject) -> None:
    """Wherever silence is put in, the same alerts come at the same times."""
    held = [rule(hold_ms=hold, resolve_ms=resolve)]
    place = data.draw(st.integers(0, len(found)))
    at = found[place - 1].at + 1 if place else START
    quiet = Look(at, ("silent", "silent", "silent"))
    with_silence = [*found[:place], quiet, *found[place:]]
    assert (
        run(held, [look.evaluation() for look in with_silence])[0]
        == run(held, [look.evaluation() for look in found])[0]
    )


@given(looks(), minutes, minutes)
def test_every_alert_lives_pending_firing_resolved_in_that_order(found: list[Look], hold: int, resolve: int) -> None:
    seen, states = run([rule(hold_ms=hold, resolve_ms=resolve)], [look.evaluation() for look in found])
    words = [state for _, _, state in seen]
    allowed = {
        ("pending", "firing"), ("pending", "pending"), ("firing", "resolved"), ("resolved", "pending"),
        ("resolved", "firing"),
    }  # fmt: skip
    assert set(pairwise(words)) <= allowed
    left = {state.state for state in states.values()}
    assert left <= {"pending", "firing"}
    assert ("firing" in left) == (words.count("firing") > words.count("resolved"))


@given(looks(), st.randoms(use_true_random=False))
def test_the_order_of_findings_does_not_matter(found: list[Look], random: object) -> None:
    states: dict = {}  # type: ignore[type-arg]  # of step
    for look in found:
        straight = look.evaluation()
        mixed = list(straight.findings)
        random.shuffle(mixed)  # type: ignore[attr-defined]  # random.Random
        moved = step([rule()], states, straight)
        assert repr(step([rule()], states, replace(straight, findings=tuple(mixed)))) == repr(moved)
        states = dict(moved.states)


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.3, 0.7), st.floats(0, 0.3))
def test_a_number_switches_at_its_limit_and_back_at_its_recovery(
    values: list[float], limit: float, slack: float
) -> None:
    found = [evaluation(metric(value), at=START + at * MINUTE) for at, value in enumerate(values)]
    expected, fires = [], False
    for at, value in enumerate(values):
        now = value > (limit - slack if fires else limit)
        if now != fires:
            expected.append((START + at * MINUTE, "number", "firing" if now else "resolved"))
        fires = now
    assert run([metric_rule(above=limit, recover=limit - slack)], found)[0] == expected
    mirrored = [replace(look, findings=(metric(-look.findings[0].value),)) for look in found]
    assert run([metric_rule(below=-limit, recover=-(limit - slack))], mirrored)[0] == expected
