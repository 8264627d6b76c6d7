"""Where labels come from, and which models they can be joined to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.config.labels import label_problems, label_sources, reads_labels
from monitor.config.schema import Config

JOINED = {"timestamp": "t", "prediction": "p", "id": "id", "label": "y"}


def config(sources: list[str], columns: dict[str, str], kafka: bool = True, **model: Any) -> Config:
    source: dict[str, Any] = {"predictions": ["p.jsonl"], "labels": sources}
    if kafka:
        source |= {"bootstrap_servers": ["never:9092"]}
    section = {"name": "m", "task": "binary", "reference": "r.parquet", "columns": columns, **model}
    return Config.model_validate({"kafka" if kafka else "file": source, "models": [section]})


@pytest.mark.parametrize("kafka", [True, False])
def test_sources_are_topics_or_names_of_files(kafka: bool) -> None:
    assert label_sources(config(["l.jsonl"], JOINED, kafka)) == {"l.jsonl"}
    assert label_sources(config([], JOINED, kafka)) == frozenset()


def test_labels_are_read_where_there_is_a_source_an_id_and_a_label() -> None:
    plain = {"timestamp": "t", "prediction": "p"}
    for labels, columns, more, wanted in (
        (["l"], JOINED, {}, True),
        ([], JOINED, {}, False),
        (["l"], plain | {"id": "id"}, {}, False),
        (["l"], plain | {"label": "y"}, {}, False),
        (["l"], plain | {"id": "id"}, {"labels": {"label": "truth"}}, True),
    ):
        found = config(labels, columns, **more)
        assert reads_labels(found, found.models[0]) is wanted


def test_faults_name_their_place_and_the_nearest_source() -> None:
    (problem,) = label_problems(config(["labels"], JOINED, labels={"topics": ["lables"]}))
    assert problem.startswith('model "m": labels.topics[0]: "lables" is not among the sources of labels; did you mean')
    first, second = label_problems(config(["l"], {"timestamp": "t", "prediction": "p", "label": "y"}))
    assert "give columns.id" in first
    assert second.startswith("kafka.labels: labels are read, but no model")
    assert label_problems(config(["l"], JOINED)) == []
    assert label_problems(config([], {"timestamp": "t", "prediction": "p", "label": "y"})) == []
    assert label_problems(config(["l"], {"timestamp": "t", "prediction": "p"}, kafka=False))[0].startswith(
        "file.labels"
    )


def test_paths_are_known_by_their_names(tmp_path: Path) -> None:
    found = config([str(tmp_path / "l.jsonl")], JOINED, kafka=False, labels={"topics": ["l.jsonl"]})
    assert label_problems(found) == []
