"""What windows are compared with: versions' own references, seasons, the last days, learned ones, burn-in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitor.checks.load import parse_config
from monitor.common.durations import DAY, HOUR, MINUTE
from monitor.common.errors import ConfigError, LeewayError
from monitor.config.schema import Config
from monitor.reference.profile import decode_profile, encode_profile, load_profile
from tests.support.replays import run_files

START = 1_700_006_400_000 // DAY * DAY


def rows(start: int, hours: int, an_hour: int, seed: int, *, cycle: float = 0.0, shift: float = 0.0) -> pd.DataFrame:
    """A feature with a daily cycle, another without one, a category, a prediction."""
    dice = np.random.default_rng(seed)
    size = hours * an_hour
    times = start + np.arange(size) * (HOUR // an_hour)
    wave = cycle * np.sin(2 * np.pi * (times % DAY) / DAY)
    return pd.DataFrame(
        {
            "at": times,
            "load": dice.normal(wave + shift, 1.0),
            "age": dice.normal(40, 10, size),
            "city": dice.choice(["Lyon", "Nice", "Brest"], size, p=[0.5, 0.3, 0.2]),
            "p": dice.integers(0, 2, size),
            "version": "1",
        }
    )


def config(folder: Path, *, drift: dict[str, object] | None = None, **model: object) -> Config:
    raw = {
        "state": {"dir": "state"},
        "file": {"predictions": ["log.jsonl"]},
        "models": [
            {
                "name": "m",
                "task": "binary",
                "pane": "10m",
                "windows": ["1h"],
                "lateness": "0s",
                "columns": {
                    "timestamp": "at", "prediction": "p", "version": "version", "features": ["load", "age", "city"],
                },
                "drift": {"false_alarms_per_30d": 1.0, **(drift or {})},
                **model,
            }
        ],
    }  # fmt: skip
    return parse_config(raw, folder)


def replay(settings: Config, folder: Path, *logs: pd.DataFrame) -> list[dict[str, object]]:
    """The evaluations of a log, as `leewayd backtest --json` writes them."""
    log = folder / "log.jsonl"
    pd.concat(logs).to_json(log, orient="records", lines=True)
    _, lines = run_files(settings, [log])
    return [found for line in lines if (found := json.loads(line))["type"] == "evaluation"]


def statuses(evaluation: dict[str, object], subject: str = "feature:load") -> dict[str, str]:
    return {
        found["statistic"]: found["status"]
        for found in evaluation["findings"]  # type: ignore[attr-defined]
        if found["subject"] == subject
    }


def drifted(evaluations: list[dict[str, object]], subject: str = "feature:load") -> list[bool]:
    return [statuses(found, subject)["psi"] == "drifted" for found in evaluations]


def judged(evaluations: list[dict[str, object]]) -> list[dict[str, object]]:
    return [found for found in evaluations if statuses(found)["psi"] != "insufficient"]


# A reference for each version


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """Version 1 was trained on another population than version 2, which has a feature more."""
    rows(START - 20 * DAY, 24 * 10, 200, 1).to_parquet(tmp_path / "one.parquet")
    two = rows(START - 20 * DAY, 24 * 10, 200, 2, shift=3.0)
    two.to_parquet(tmp_path / "two.parquet")
    return tmp_path


def test_each_version_is_compared_with_its_own_reference(versions: Path) -> None:
    settings = config(versions, references={"1": "one.parquet", "2": "two.parquet"})
    one, two = rows(START, 6, 300, 3), rows(START, 6, 300, 4, shift=3.0)
    two["version"] = "2"
    found = judged(replay(settings, versions, pd.concat([one, two]).sort_values("at")))
    assert {evaluation["version"] for evaluation in found} == {"1", "2"}
    assert not any(drifted(found))


def test_an_unknown_version_falls_back_on_the_newest_and_says_so(versions: Path) -> None:
    settings = config(versions, references={"1": "one.parquet", "2": "two.parquet"})
    log = rows(START, 6, 300, 3)
    log["version"] = "3"
    found = judged(replay(settings, versions, log))
    assert all(drifted(found))  # against that of version 2
    (told,) = [part for part in found[0]["findings"] if part["subject"] == "reference"]  # type: ignore[attr-defined]
    assert (told["statistic"], told["value"], told["status"]) == ("fallback", 1.0, "ok")
    assert told["detail"] == "version 3 has no reference; it is compared with the reference of version 2"


def test_a_general_reference_stands_in_for_unknown_versions_if_there_is_one(versions: Path) -> None:
    settings = config(versions, reference="one.parquet", references={"2": "two.parquet"})
    log = rows(START, 6, 300, 3)
    log["version"] = "3"
    found = judged(replay(settings, versions, log))
    assert not any(drifted(found))
    (told,) = [part for part in found[0]["findings"] if part["subject"] == "reference"]  # type: ignore[attr-defined]
    assert told["detail"] == "version 3 has no reference; it is compared with the model's general reference"


def test_versions_need_not_have_the_same_features(versions: Path) -> None:
    two = pd.read_parquet(versions / "two.parquet")
    two["extra"] = 1.0
    two.to_parquet(versions / "two.parquet")
    settings = config(versions, references={"1": "one.parquet", "2": "two.parquet"})
    columns = settings.models[0].columns.model_copy(update={"features": None})
    settings = settings.model_copy(update={"models": [settings.models[0].model_copy(update={"columns": columns})]})
    one, log = rows(START, 3, 300, 3), rows(START, 3, 300, 4, shift=3.0)
    log["version"], log["extra"] = "2", 1.0
    found = replay(settings, versions, pd.concat([one, log]).sort_values("at", kind="stable"))
    subjects = {
        evaluation["version"]: {part["subject"] for part in evaluation["findings"]}  # type: ignore[attr-defined]
        for evaluation in found
    }
    assert "feature:extra" in subjects["2"]
    assert "feature:extra" not in subjects["1"]


def test_every_fault_of_every_reference_is_told(versions: Path) -> None:
    settings = config(versions, references={"1": "one.parquet", "2": "none.parquet", "3": "gone.parquet"})
    with pytest.raises(LeewayError, match=r"references\.2: .*no such file[\s\S]*references\.3: .*no such file"):
        replay(settings, versions, rows(START, 1, 10, 1))


# Seasons


def test_a_season_in_the_reference_neither_alarms_nor_hides_a_change(tmp_path: Path) -> None:
    rows(START - 28 * DAY, 24 * 28, 300, 5, cycle=1.5).to_parquet(tmp_path / "reference.parquet")
    quiet = rows(START, 48, 300, 6, cycle=1.5)
    moved = rows(START + 2 * DAY, 6, 300, 7, cycle=1.5, shift=0.8)
    plain = replay(config(tmp_path, reference="reference.parquet"), tmp_path, quiet, moved)
    seasonal = replay(
        config(tmp_path, reference="reference.parquet", drift={"season": "hour_of_day"}), tmp_path, quiet, moved
    )
    began = "2023-11-17T00:00:00Z"
    assert str(plain[-1]["start"]) > began
    assert not any(drifted([found for found in seasonal if str(found["end"]) <= began]))
    after = judged([found for found in seasonal if str(found["start"]) >= began])
    assert len(after) > 20
    assert all(drifted(after))
    # Without the season, the whole day's scatter has to be allowed for, and the same change is not proven.
    assert not any(drifted([found for found in plain if str(found["start"]) >= began]))


def test_hours_that_the_reference_never_saw_are_not_judged(tmp_path: Path) -> None:
    reference = rows(START - 28 * DAY, 24 * 28, 100, 5, cycle=1.5)
    reference[(reference["at"] % DAY) < 12 * HOUR].to_parquet(tmp_path / "reference.parquet")
    settings = config(tmp_path, reference="reference.parquet", drift={"season": "hour_of_day"})
    found = replay(settings, tmp_path, rows(START, 24, 300, 6, cycle=1.5))
    night = [evaluation for evaluation in found if "T14:" in str(evaluation["start"])]
    features = [part for part in night[0]["findings"] if part["subject"].startswith("feature:")]  # type: ignore[attr-defined]
    assert {part["detail"] for part in features} == {"the reference holds no rows of these hours"}
    assert judged([evaluation for evaluation in found if "T04:" in str(evaluation["start"])])


def test_a_season_needs_a_reference_that_has_seen_it_twice(tmp_path: Path) -> None:
    rows(START - DAY, 24, 300, 5).to_parquet(tmp_path / "reference.parquet")
    settings = config(tmp_path, reference="reference.parquet", drift={"season": "hour_of_day"})
    with pytest.raises(LeewayError, match=r"covers each hour 1\.0 times on average; at least 2"):
        replay(settings, tmp_path, rows(START, 1, 10, 1))


def test_a_profile_keeps_its_season(tmp_path: Path) -> None:
    from monitor.reference.build import load_reference
    from monitor.reference.profile import save_profile

    rows(START - 14 * DAY, 24 * 14, 100, 5, cycle=1.5).to_parquet(tmp_path / "reference.parquet")
    model = config(tmp_path, reference="reference.parquet", drift={"season": "hour_of_week"}).models[0]
    built = load_reference(model)
    save_profile(built, tmp_path / "r.profile.json")
    kept = load_profile(tmp_path / "r.profile.json")
    assert kept.season == "hour_of_week"
    assert kept.slots is not None
    assert built.slots is not None
    np.testing.assert_array_equal(kept.slots.bins, built.slots.bins)
    np.testing.assert_array_equal(kept.slots.rows, np.full(168, 200))
    other = config(tmp_path, reference="r.profile.json").models[0]
    with pytest.raises(LeewayError, match='was built with season "hour_of_week", not no season'):
        load_reference(other)


# The last days


def test_a_rolling_reference_follows_a_slow_change_and_leaves_out_days_that_drifted(tmp_path: Path) -> None:
    rows(START - 60 * DAY, 24 * 10, 100, 5).to_parquet(tmp_path / "reference.parquet")
    # Far from the given reference from the first day on, but always alike; on the sixth day something breaks.
    days = [rows(START + day * DAY, 24, 100, 20 + day, shift=5.0 if day == 5 else 1.0) for day in range(8)]
    settings = config(tmp_path, reference="reference.parquet", drift={"rolling": "4d"})
    found = judged(replay(settings, tmp_path, *days))
    found = [one for one in found if str(one["start"]).endswith(":00:00Z")]
    by_day = [[one for one in found if one["start"].startswith(f"2023-11-{15 + day}")] for day in range(8)]  # type: ignore[attr-defined]
    notes = [part for part in by_day[0][0]["findings"] if part["subject"] == "reference"]  # type: ignore[attr-defined]
    assert notes[0]["value"] == 1.0
    assert "the configured reference is used instead" in notes[0]["detail"]
    # During the first day, the configured reference is used instead.
    assert any(drifted(by_day[0]))
    for day in (1, 2, 3, 4, 7):
        assert not any(drifted(by_day[day])), day
    assert any(drifted(by_day[5]))


def test_a_rolling_reference_forgets_nothing_at_a_restart_and_a_flagged_day_stays_out(tmp_path: Path) -> None:
    rows(START - 60 * DAY, 24 * 10, 100, 5).to_parquet(tmp_path / "reference.parquet")
    days = [rows(START + day * DAY, 24, 100, 20 + day, shift=5.0 if day == 2 else 0.02 * day) for day in range(6)]
    settings = config(tmp_path, reference="reference.parquet", drift={"rolling": "4d"})
    found = judged(replay(settings, tmp_path, *days))
    flags = {}
    for one in found:
        flags.setdefault(str(one["start"])[:10], []).append(drifted([one])[0])
        (note,) = [part for part in one["findings"] if part["subject"] == "reference"]  # type: ignore[attr-defined]
        assert note["value"] == float(str(one["start"])[:10] == "2023-11-15"), one["start"]
    assert any(flags["2023-11-17"])
    # The windows of the fourth day that still hold rows of the third are flagged; later ones are compared with clean
    # days alone, although the broken day lies within reach.
    assert not any(flags["2023-11-19"])
    assert not any(flags["2023-11-20"])


# Learned


def test_a_reference_is_learned_from_the_first_rows_and_then_used(tmp_path: Path) -> None:
    settings = config(tmp_path, learn_rows=2_000)
    found = replay(settings, tmp_path, rows(START, 40, 100, 5), rows(START + 40 * HOUR, 4, 300, 6, shift=2.0))
    first = min(str(one["start"]) for one in judged(found))
    # 2,000 rows are twenty hours.
    assert first == "2023-11-15T20:00:00Z"
    assert not any(drifted([one for one in judged(found) if str(one["end"]) <= "2023-11-16T16:00:00Z"]))
    assert drifted(judged(found))[-1]


def test_a_learned_reference_holds_exactly_the_rows_that_were_asked_for(tmp_path: Path) -> None:
    from monitor.daemon.learner import ReferenceLearner
    from monitor.decode.readers import RawReader

    model = config(tmp_path, learn_rows=1_500).models[0]
    route = RawReader(model)
    learner = ReferenceLearner(model, route.columns)
    table = rows(START, 20, 100, 5)
    parts = [table.iloc[place : place + 700] for place in range(0, 2_000, 700)]
    for part in parts:
        learner.add(*_learning_rows(route, part))
        again = ReferenceLearner(model, route.columns)
        again.restore(learner.document())
        assert again.times == learner.times
        again.later = learner.later
        learner = again
    assert learner.needed == 0
    assert sum(len(later.rows.index) for later in learner.later) == 500
    profile = decode_profile(encode_profile(learner.profile()), "learned")
    assert profile.rows == 1_500
    place = profile.layout.subjects.index("feature:load")
    np.testing.assert_allclose(profile.layout.location[place], table["load"][:1_500].mean())
    assert profile.top["feature:city"] == ("Lyon", "Nice", "Brest")


def _learning_rows(route: object, part: pd.DataFrame) -> tuple[object, ...]:
    from monitor.decode.readers import RawReader, versions_of
    from monitor.rows.records import Partition, RawColumns

    assert isinstance(route, RawReader)
    size = len(part)
    raw = RawColumns({name: part[name].tolist() for name in part.columns}, np.arange(size), np.zeros(size, int), {})
    times = part["at"].to_numpy()
    (found,) = route.rows(raw, times, np.arange(size), versions_of(None, size))
    return found, times, np.arange(size), Partition("t", 0)


def test_learning_needs_to_know_the_features(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name the features in columns\.features"):
        config(tmp_path, learn_rows=2_000, columns={"timestamp": "at", "prediction": "p"})


def test_a_model_needs_some_reference(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reference: required, but not given"):
        config(tmp_path)


# Burn-in


def correlated(start: int, hours: int, seed: int) -> pd.DataFrame:
    """Rows whose load wanders slowly: windows differ far more from one another than independent rows would."""
    table = rows(start, hours, 300, seed)
    dice = np.random.default_rng(seed + 1_000)
    steps = dice.normal(0, 1, hours * 2)
    level = np.zeros(hours * 2)
    for place in range(1, hours * 2):
        level[place] = 0.5 * level[place - 1] + steps[place]
    table["load"] += np.repeat(level, 150)
    return table


def test_without_times_in_the_reference_a_burn_in_learns_how_much_windows_differ(tmp_path: Path) -> None:
    correlated(START - 30 * DAY, 24 * 20, 1).drop(columns="at").to_parquet(tmp_path / "reference.parquet")
    log = correlated(START, 24 * 10, 2)
    naive = replay(config(tmp_path, reference="reference.parquet"), tmp_path, log[log["at"] < START + 4 * DAY])
    assert sum(drifted(naive)) > 20
    burnt = replay(config(tmp_path, reference="reference.parquet", drift={"burn_in": "5d"}), tmp_path, log)
    assert not judged([one for one in burnt if str(one["end"]) <= "2023-11-20T00:00:00Z"])
    assert "burn-in until 2023-11-20T00:00:00Z" in str(burnt[30]["findings"])
    after = judged(burnt)
    assert len(after) > 100
    assert not any(drifted(after))


def test_a_burn_in_goes_on_after_a_restart() -> None:
    from detectors.layout import COLUMNS, Counts
    from monitor.evaluate.burn_in import BurnIn

    dice = np.random.default_rng(3)
    first, second = BurnIn(DAY, 2), BurnIn(DAY, 2)
    for hour in range(24):
        bins = np.zeros((2, COLUMNS), dtype=np.int64)
        bins[:, :4] = dice.multinomial(400, dice.dirichlet([5, 5, 5, 5]))
        counts = Counts(np.array(400), bins, dice.normal(0, 20, (2, 2)), np.zeros((2, 2)))
        for burn_in in (first, second):
            burn_in.begin(START)
            burn_in.add(HOUR, START + hour * HOUR, counts)
            burn_in.add(HOUR, START + hour * HOUR, counts)
            burn_in.add(HOUR, START + hour * HOUR + MINUTE, counts)
        restored = BurnIn(DAY, 2)
        restored.restore(second.document())
        second = restored
    assert first.over(START + DAY + 1)
    assert not first.over(START + DAY)
    found, again = first.dispersion(HOUR), second.dispersion(HOUR)
    assert found.blocks == again.blocks == 24
    np.testing.assert_array_equal(found.values, again.values)
    assert (found.values > 5).all()
    # The nearest length that was learned stands for others.
    np.testing.assert_array_equal(first.dispersion(15 * MINUTE).values, found.values)
