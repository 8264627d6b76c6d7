"""Labels and predictions in another spelling than the reference: the same class or none, never the negative one."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from monitor.common.codec import from_json, to_plain_json
from monitor.config.model import ModelSection
from monitor.reference.build import build_profile
from monitor.reference.performance_file import PerformanceFile, performance_in, performance_out
from monitor.reference.tables import DataTable
from monitor.rows.class_names import UNKNOWN, ClassNames, one_spelling, same_truth

if TYPE_CHECKING:
    from monitor.reference.performance import PerformanceProfile


def binary(positive: str, *negatives: str) -> ClassNames:
    return ClassNames(("other", positive), negatives, binary=True)


@pytest.mark.parametrize("names", [("1", "0"), ("yes", "no"), ("TRUE", "FALSE"), ("Y", "N"), ("true", "false")])
def test_every_way_to_say_yes_or_no_is_the_class_of_a_reference_that_says_yes_or_no(names: tuple[str, str]) -> None:
    classes = binary(*names)
    for yes in (True, 1, 1.0, "1", "1.0", " 1 ", "true", "TRUE", "True", "yes", "Yes ", "Y", "t"):
        assert classes.number(yes) == 1.0, yes
    for no in (False, 0, 0.0, "0", "0.0", "-0", "false", "FALSE", "no", "N", "f"):
        assert classes.number(no) == 0.0, no
    for neither in ("maybe", 2, -1, 0.5, "1_0", "other"):
        assert classes.number(neither) == UNKNOWN, neither
    for missing in (None, math.nan, "", "  "):
        assert math.isnan(classes.number(missing))


def test_names_are_matched_by_their_letters_and_never_by_their_meaning() -> None:
    classes = binary("approved", "declined", "withdrawn")
    assert [classes.number(text) for text in ("Approved", " DECLINED", "withdrawn")] == [1.0, 0.0, 0.0]
    assert [classes.number(value) for value in ("true", "no", 0, 1, True, "pending")] == [UNKNOWN] * 6


def test_what_could_be_two_classes_is_neither() -> None:
    classes = ClassNames(("a", "A", "7", "07"), None, binary=False)
    assert [classes.number(text) for text in ("a", "A", "7", 7, "07")] == [0.0, 1.0, 2.0, 2.0, 3.0]
    assert [classes.number(text) for text in (" a", "7.0", " 07")] == [UNKNOWN] * 3
    assert binary("1", "0", "yes").number("true") == UNKNOWN
    assert binary("1", "0", "2").number("false") == UNKNOWN


def test_classes_of_a_multiclass_model_are_matched_as_numbers_and_text() -> None:
    classes = ClassNames(("0", "1", "2"), None, binary=False)
    assert classes.numbers([0, "1.0", " 2", 2.0, "02", "3", True, "true", None, [1], {"a": 1}]).tolist()[:8] == [
        0.0, 1.0, 2.0, 2.0, 2.0, UNKNOWN, 1.0, UNKNOWN
    ]  # fmt: skip
    assert classes.numbers([[1], {"a": 1}]).tolist() == [UNKNOWN, UNKNOWN]


def test_a_reference_of_one_class_knows_the_other_by_its_opposite_alone() -> None:
    assert [binary("1").number(value) for value in ("true", 0, "no", "2")] == [1.0, 0.0, 0.0, UNKNOWN]
    assert binary("fraud").number("0") == UNKNOWN


def test_unknown_negatives_keep_every_other_value_negative() -> None:
    classes = ClassNames(("other", "1"), None, binary=True)
    assert [classes.number(value) for value in ("1", "true", "0", "no", "whatever")] == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_columns_of_a_reference_may_spell_a_class_each_in_its_way() -> None:
    assert one_spelling([{"0", "1", "2"}, {"0.0", "1.0", "3.0"}]) == {"0", "1", "2", "3.0"}
    assert one_spelling([{"a", "A"}, {"a", "B"}]) == {"a", "A", "B"}
    assert same_truth("1", {"0", "1", "true", "no"}) == {"1", "true"}
    assert same_truth("1", {"0", "1", "2"}) == {"1"}


def performance(label: list[object], prediction: list[object], task: str = "binary") -> PerformanceProfile:
    size = len(label)
    frame = pd.DataFrame({"x": np.arange(size) % 7, "p": prediction, "y": label})
    columns = {"timestamp": "t", "prediction": "p", "label": "y", "features": ["x"]}
    model = ModelSection.model_validate({"name": "m", "task": task, "reference": "r", "columns": columns})
    return build_profile(DataTable(frame), model).performance


def test_a_reference_whose_labels_are_text_and_predictions_numbers_has_an_accuracy() -> None:
    truth = [row % 2 for row in range(400)]
    for label in (["true" if one else "false" for one in truth], [f"{one}.0" for one in truth], truth):
        found = performance(label, truth)  # type: ignore[arg-type]  # lists are invariant
        assert found.classes == ("other", "1")
        assert found.counts is not None
        assert float(found.scorer.metrics(found.counts, 0.01, 1.0)["accuracy"].value) == 1.0
        assert found.names is not None
        assert found.names.numbers(["yes", "0.0", "?"]).tolist() == [1.0, 0.0, UNKNOWN]
    several = performance([f"{row % 3}.0" for row in range(400)], [row % 3 for row in range(400)], "multiclass")
    assert several.classes == ("0", "1", "2")
    assert several.counts is not None
    assert float(several.scorer.metrics(several.counts, 0.01, 1.0)["accuracy"].value) == 1.0


def test_a_written_profile_keeps_its_negative_classes_and_an_older_one_has_none() -> None:
    found = performance(["declined", "approved"] * 200, ["declined", "approved"] * 200)
    written = to_plain_json(performance_out(found))
    assert performance_in(from_json(written, PerformanceFile, strict=True)).negatives == ("approved",)
    older = json.loads(written)
    del older["negatives"]
    assert performance_in(from_json(json.dumps(older).encode(), PerformanceFile)).negatives is None
