"""Which columns of a reference become subjects, and which faults are named with the nearest column."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.common.errors import ReferenceDataError
from monitor.config.model import ModelSection
from monitor.reference.columns import absent_columns, columns_used, plan_subjects
from monitor.reference.tables import DataTable, table_of

DATA = {
    "time": [1, 2], "id": ["a", "b"], "age": [1.0, 2.0], "job": ["x", "y"], "sex": [1, 2], "p": [0, 1], "s": [0.1, 0.9],
    "y": [0, 1], "vector": [[1.0], [2.0]],
}  # fmt: skip


def model(task: str = "binary", segments: tuple[str, ...] = (), **columns: Any) -> ModelSection:
    named = {"timestamp": "time", "prediction": "p", **columns}
    return ModelSection.model_validate(
        {"name": "m", "task": task, "reference": "r", "columns": named, "segments": list(segments)}
    )


def table(**more: list[object]) -> DataTable:
    return table_of({**DATA, **more})


def test_every_plain_column_that_is_named_as_nothing_else_is_a_feature() -> None:
    plan = plan_subjects(table(), model(id="id", label="y", score="s"))
    assert plan.subjects == ("feature:age", "feature:job", "feature:sex", "prediction", "score")
    assert plan.columns == ("age", "job", "sex", "p", "s")
    assert plan.numeric == (True, False, True, False, True)


def test_listed_features_types_and_tasks_decide() -> None:
    plan = plan_subjects(table(), model("regression", features=["sex", "age"], types={"sex": "categorical"}))
    assert plan.subjects == ("feature:sex", "feature:age", "prediction")
    assert plan.numeric == (False, True, True)
    ranking = plan_subjects(table(), model("ranking", features=["age"]))
    assert ranking.subjects == ("feature:age",)


def test_every_lacking_column_is_named_at_once() -> None:
    with pytest.raises(ReferenceDataError) as caught:
        plan_subjects(table(), model(segments=("sexx",), features=["agee", "age"], score="zzz"))
    assert str(caught.value).splitlines() == [
        'columns.score: the reference has no column "zzz"; it has: ' + ", ".join(f'"{name}"' for name in DATA),
        'columns.features[0]: the reference has no column "agee"; did you mean "age"?',
        'segments[0]: the reference has no column "sexx"; did you mean "sex"?',
    ]


def test_scores_of_classes_have_places_of_their_own() -> None:
    named = columns_used(model("multiclass", score={"a b": "s", "c": "s2"}, lower=None))
    assert named['columns.score."a b"'] == "s"
    assert named["columns.score.c"] == "s2"


def test_a_misspelt_name_would_be_watched_as_a_feature() -> None:
    found = absent_columns(table(user_id=["a", "b"]), model(id="userid", exclude=["agge"], label="yy"))
    assert found["columns.exclude[0]"].endswith('did you mean "age"?')
    assert 'did you mean "user_id"?' in found["columns.id"]
    assert "columns.version" not in found
    assert "give labels.label instead" in found["columns.label"] or "did you mean" in found["columns.label"]
    assert absent_columns(table(), model(id="no-such-thing")) == {}
