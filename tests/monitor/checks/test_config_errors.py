"""What a person reads about a configuration that cannot be used: line, value found, nearest valid one."""

from __future__ import annotations

import json
import os
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.checks.lines import key_lines
from monitor.checks.load import read_config
from monitor.checks.preflight import check
from monitor.common.errors import ConfigError
from tests.support.logs import SILENT

if TYPE_CHECKING:
    from pathlib import Path

MODEL = """\
[file]
predictions = ["log.jsonl"]
[[models]]
name = "m"
task = "binary"
reference = "ref.csv"
windows = ["1h"]
[models.columns]
timestamp = "t"
prediction = "p"
"""


def problems(folder: Path, text: str | bytes) -> list[str]:
    path = folder / "c.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        ('binry', 'c.toml:5: models[0].task: got "binry"; did you mean "binary"?'),
        ('Binary', 'c.toml:5: models[0].task: got "Binary"; did you mean "binary"?'),
        ('zzz', 'models[0].task: got "zzz"; valid: "binary", "multiclass", "regression", "ranking"'),
    ],
)  # fmt: skip
def test_the_nearest_task_is_named(task: str, problem: str, tmp_path: Path) -> None:
    (told,) = problems(tmp_path, MODEL.replace("binary", task))
    assert problem in told


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ('pane = 3600', 'c.toml:6: models[0].pane: got 3600; a duration needs a unit: "3600s" or "1h"'),
        ('lateness = 1.5', 'got 1.5; a duration needs a unit: "1500ms" or "1m30s"'),
        ('pane = "0s"', 'models[0].pane: got "0s"; it must divide a day'),
        ('pane = "-5m"', 'models[0].pane: got "-5m"; a duration must not be negative'),
        ('pane = "5 min"', 'models[0].pane: got "5 min"; did you mean "5m"?'),
        ('pane = "7m"', 'models[0].pane: got "7m"; it must divide a day, or be whole days'),
        ('pane = "25m"', 'models[0].pane: got "25m"'),
        ('pane = "1ms"', 'models[0].pane: got "1ms"; it must be at least "1s"'),
        ('max_series = true\nlearn_rows = "x"', 'models[0].learn_rows: got "x"; must be a whole number'),
        ('drift.show = ["energi"]', 'c.toml:6: models[0].drift.show[0]: got "energi"; did you mean "energy"?'),
        ('drift.min_effect = nan', "models[0].drift.min_effect: got nan; must be a finite number"),
        ('drift.rolling = "1h"', 'models[0].drift.rolling: got "1h"; must be at least "1d"'),
        ('drift.false_alarms_per_30d = 0', "got 0; must be at least 1e-06"),
        ('performance.quantiles = [0.5, 1.0]', "models[0].performance.quantiles[1]: got 1.0; must be less"),
        ('performance.threshold = inf', "models[0].performance.threshold: got inf; must be a finite"),
        ('performance.metrics = ["roc_acu"]', 'has no metric "roc_acu"; did you mean "roc_auc"?'),
        ('performance.metrics = ["mae"]', 'a binary model has no metric "mae"; '),
        ('segments = ["a", "a"]', 'models[0].segments: "a" is given twice'),
        ('performance.protected = ["SX"]\nsegments = ["SEX"]', 'among the segments; did you mean "SEX"?'),
        ('min_effect = 0.1', "c.toml:6: models[0].min_effect: unknown key; it belongs to [models.drift]"),
        ('labels.max_delay = "36525d"\npane = "1s"', "models[0].labels.max_delay: got"),
        ('positive = 1.5', "unknown key; it belongs to [models.performance]"),
        ('performance.positive = 1.5', "got 1.5; must be text in quotes, a whole number or true or false"),
    ],
)  # fmt: skip
def test_the_value_found_the_line_and_the_nearest_valid_one_are_named(found: str, problem: str, tmp_path: Path) -> None:
    told = problems(tmp_path, MODEL.replace('task = "binary"', f'task = "binary"\n{found}'))
    assert any(problem in line for line in told), told


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ('metric = "roc_acu"\nbelow = 1', 'c.toml:13: rules[0].metric: no finding has a statistic "roc_acu"; did you'),
        ('metric = "hellinger"\nabove = 1', '"hellinger" is not computed; add it to drift.show of the models'),
        ('statistic = "pis"', 'rules[0].statistic: no finding has a statistic "pis"; did you mean "psi"?'),
        ('subject = "featur:*"', 'no finding has a subject "featur:*"; did you mean "feature"?'),
        ('subject = "predicton"', 'c.toml:14: rules[0].subject: no finding has a subject "predicton"'),
        ('segment = "SEX=1"', 'no model of the rule has segments of "SEX"'),
        ('segment = "US"', 'rules[0].segment: got "US"; write "all", or a column and a value'),
        ('windows = ["60m"]', 'rules[0].windows[0]: no model of the rule has a window "60m"; did you'),
        ('notify = ["mee"]', 'c.toml:14: rules[0].notify[0]: "mee" is not defined; did you mean "me"?'),
        ('models = ["n"]', 'rules[0].models[0]: "n" is not defined; models: "m"'),
        ('severity = "eror"', 'rules[0].severity: got "eror"; did you mean "error"?'),
        ('when = "drifed"', 'c.toml:13: rules[0].when: got "drifed"; did you mean "drifted"?'),
    ],
)  # fmt: skip
def test_a_rule_that_can_match_nothing_is_refused(rule: str, problem: str, tmp_path: Path) -> None:
    when = "" if rule.startswith(("metric", "when")) else 'when = "drifted"\n'
    text = MODEL + f'[[rules]]\nname = "r"\n{when}{rule}\n[[receivers]]\nname = "me"\ntype = "log"\n'
    told = problems(tmp_path, text)
    assert any(problem in line for line in told), told


def test_keys_below_the_wrong_table_are_told_where_they_belong(tmp_path: Path) -> None:
    assert problems(tmp_path, MODEL + 'lateness = "5m"\n') == [
        (
            "c.toml:11: models[0].columns.lateness: unknown key; it belongs to [[models]]: "
            "move it above the line [models.columns]"
        )
    ]


def test_a_receiver_of_an_unknown_type_and_a_secret_are_told_without_the_secret(tmp_path: Path) -> None:
    text = (
        MODEL
        + '[[receivers]]\nname = "a"\ntype = "slak"\n[[receivers]]\nname = "b"\ntype = "slack"\nurl = "https://s/x"\n'
    )
    told = problems(
        tmp_path, text + "[kafka]\nclient = {sasl_plain_password = [5]}\nbootstrap_servers = ['b']\npredictions=['p']\n"
    )
    assert 'c.toml:13: receivers[0].type: got "slak"; did you mean "slack"?' in told
    assert any(line.startswith("c.toml:17: receivers[1].url: the URL is a secret") for line in told)
    assert not any("https" in line or "got a list" in line for line in told)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[state\n", "c.toml:1: not valid TOML: expected ']' at the end of a table declaration (in column 7)"),
        ("[state]\ndir = ./state\n", "c.toml:2: not valid TOML: expected a value: text in quotes, a number, true"),
        ('a = "x\nb = 1\n', "c.toml:1: not valid TOML: expected the closing quote before the end of the line"),
        ("a = 1\na = 2\n", "c.toml:2: not valid TOML: this key is given twice"),
        ("[http]\n[log]\n[http]\n", "c.toml:3: not valid TOML: the table [http] is given twice"),
        ('a = "C:\\users"\n', "c.toml:1: not valid TOML: a backslash in"),
        ("a: 1\n", "c.toml:1: not valid TOML: expected '=' after a key"),
        ("a = [1,\n\n2\n", "c.toml:3: not valid TOML: unclosed array (at the end of the file)"),
        ("a = " + "9" * 5000, "c.toml: not valid TOML: a number has too many digits"),
        ("a = " + "[" * 9000, "c.toml: not valid TOML: lists are nested too deeply"),
        (b"a = 'x'\nb = '\xe9'\n", "c.toml:2: the file is not in UTF-8: byte 0xe9 in this line; save it as UTF-8"),
        ("a = 1\n".encode("utf-16"), "c.toml:1: the file is in UTF-16; save it as UTF-8"),
        ("", "c.toml: the file is empty"),
        ("# nothing\n", "c.toml: models: required, but not given"),
        ("[models]\nname = 'x'\n", "c.toml:1: models: must be a list of tables: write [[models]] with two brackets"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_configuration_is_told_in_one_sentence(
    text: str | bytes, problem: str, tmp_path: Path
) -> None:
    (told,) = problems(tmp_path, text)
    assert told.startswith(problem), told


@pytest.mark.parametrize("change", [lambda text: b"\xef\xbb\xbf" + text, lambda text: text.replace(b"\n", b"\r\n")])
def test_a_byte_order_mark_and_windows_line_ends_are_read(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(change(MODEL.encode()))
    assert read_config(path).models[0].name == "m"
    path.write_bytes(change(MODEL.replace("binary", "binry").encode()))
    with pytest.raises(ConfigError, match=r"c\.toml:5: models\[0\]\.task"):
        read_config(path)


def test_folders_missing_and_unreadable_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="this is a folder; name the configuration file in it"):
        read_config(tmp_path)
    with pytest.raises(ConfigError, match=r"none\.toml: no such file"):
        read_config(tmp_path / "none.toml")
    path = tmp_path / "c.toml"
    path.write_text(MODEL)

    def forbidden(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", forbidden)
    with pytest.raises(ConfigError, match=r"c\.toml: permission denied; the file must be readable"):
        read_config(path)


def test_check_tells_sections_references_secrets_and_files_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    (tmp_path / "ref.csv").write_text("t,p,age,income\n1,0,3,4\n2,1,5,6\n3,1,5,6\n")
    text = MODEL.replace('windows = ["1h"]', 'windows = ["1h"]\nsegments = ["agee"]')
    text += """\
exclude = ["incom"]
[[models]]
name = "other"
task = "binry"
[[rules]]
name = "r"
when = "drifted"
notify = ["mee"]
[[receivers]]
name = "me"
type = "slack"
url_env = "NOT_SET_ANYWHERE"
"""
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        check(path, {}, SILENT)
    told = [line.replace(f"{tmp_path}/", "") for line in caught.value.problems]
    assert told == [
        "c.toml:2: file.predictions[0]: log.jsonl: no such file",
        'c.toml:8: model "m": segments[0]: the reference has no column "agee"; did you mean "age"?',
        "c.toml:13: models[1].columns: required, but not given",
        'c.toml:15: models[1].task: got "binry"; did you mean "binary"?',
        'c.toml:19: rules[0].notify[0]: "mee" is not defined; did you mean "me"?',
        'c.toml:20: receiver "me": the environment variable NOT_SET_ANYWHERE is not set',
    ]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ('exclude = ["incom"]', 'columns.exclude[0]: the reference has no column "incom"; did you mean "income"?'),
        ('types = { zipp = "numeric" }', 'columns.types.zipp: the reference has no column "zipp"; did you mean "zip"?'),
        ('label = "truht"', 'columns.label: the reference has no column "truht"; did you mean "truth"?'),
        ('label = "zzz"', "If only label records hold it, give labels.label instead."),
        ('version = "verson"', 'columns.version: the reference has no column "verson"; did you mean "version"?'),
        ('score = "scoer"', 'columns.score: the reference has no column "scoer"; did you mean "score"?'),
        ('score = { "0" = "p0" }', 'columns.score.0: the reference has no column "p0"'),
        ('embeddings = ["vektor"]', 'columns.embeddings[0]: the reference has no column "vektor"'),
        ('lower = "a"\nupper = "b"', 'columns.lower: the reference has no column "a"'),
    ],
)  # fmt: skip
def test_columns_that_the_reference_lacks_are_named_with_the_nearest(
    columns: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "log.jsonl").write_text("")
    (tmp_path / "ref.csv").write_text("t,p,truth,income,zip,version,score\n" + "1,0,0,3,4,1,.5\n2,1,1,5,6,1,.4\n" * 9)
    (tmp_path / "c.toml").write_text(MODEL + columns + "\n")
    with pytest.raises(ConfigError) as caught:
        check(tmp_path / "c.toml", {}, SILENT)
    assert any("c.toml:11: " in line and problem in line for line in caught.value.problems), caught.value.problems


def test_a_feature_that_a_rule_names_and_no_reference_has_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    (tmp_path / "ref.csv").write_text("t,p,age\n" + "1,0,3\n2,1,5\n" * 9)
    rule = '[[rules]]\nname = "r"\nwhen = "drifted"\nsubject = "feature:aeg"\n'
    (tmp_path / "c.toml").write_text(MODEL + rule)
    with pytest.raises(ConfigError, match=r'c\.toml:14: rules\[0\]\.subject: no reference has .* did you mean "age"\?'):
        check(tmp_path / "c.toml", {}, SILENT)


@pytest.mark.parametrize("what", ["reference", "log", "config"])
def test_a_folder_in_place_of_a_file_is_told(what: str, tmp_path: Path) -> None:
    for name in ("ref.csv", "log.jsonl"):
        (tmp_path / name).write_text("t,p,age\n1,0,3\n2,1,4\n" if name == "ref.csv" else "")
    (tmp_path / "c.toml").write_text(MODEL)
    path = {"reference": tmp_path / "ref.csv", "log": tmp_path / "log.jsonl", "config": tmp_path / "c.toml"}[what]
    os.remove(path)  # noqa: PTH107 - it becomes a folder
    path.mkdir()
    with pytest.raises(ConfigError, match=f"{path.name}: this is a folder"):
        check(tmp_path / "c.toml", {}, SILENT)


# Lines

KEYS = st.one_of(st.sampled_from(["a", "b", "c-d", "1"]), st.text("xä .\"'\\=#[]", min_size=1, max_size=4))
SCALARS = st.one_of(st.integers(-9, 9), st.booleans(), st.text("x#\"'\\]},=\n", max_size=5))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)


def _inline(value: Any, draw: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if "'" not in value and "\n" not in value and draw(st.booleans()):
            return f"'{value}'"
        return json.dumps(value)
    if isinstance(value, list):
        gap = draw(st.sampled_from(["", " ", "\n", " # ]\n"]))
        return "[" + ",".join(gap + _inline(part, draw) for part in value) + gap + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(part, draw)}" for key, part in value.items()) + "}"
    return str(value)


@pytest.mark.long
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_key_and_element_of_a_document_has_its_line(data: st.DataObject) -> None:
    lines: list[str] = []
    expected: dict[tuple[str | int, ...], int] = {}

    def pairs(place: tuple[str | int, ...]) -> None:
        for key, value in data.draw(st.dictionaries(KEYS, VALUES, max_size=3)).items():
            expected[(*place, key)] = "\n".join(lines).count("\n") + 2 if lines else 1
            lines.append(f"{json.dumps(key)} = {_inline(value, data.draw)} # = [")

    pairs(())
    for table in ("T1", "T2"):
        for number in range(data.draw(st.integers(0, 2))):
            expected[(table, number)] = "\n".join(lines).count("\n") + 2 if lines else 1
            lines.append(f"[[ {table} ]]")
            pairs((table, number))
            expected[(table, number, "S x")] = "\n".join(lines).count("\n") + 2
            lines.append(f'  [{table}."S x"]')
            pairs((table, number, "S x"))
    text = "\n".join(lines) + "\n"
    found = key_lines(text)
    for place, line in expected.items():
        assert found[place] == line, (place, text)
    _all_are_found(tomllib.loads(text), (), found)


def _all_are_found(value: Any, place: tuple[str | int, ...], found: Any) -> None:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        assert (*place, key) in found
        _all_are_found(part, (*place, key), found)


def test_dotted_keys_multi_line_texts_and_inline_tables_have_lines() -> None:
    text = 'a.b = """\n""\n[x]\n"""\nc = [{d = 1},\n {"e.f" = 2}]\n[g.h]\ni = 1\n'
    text += "[[g.k]]\n[[g.k]]\nl = '''\n''''\nm = 1\n"
    found = key_lines(text)
    assert found[("a", "b")] == 1
    assert found[("c", 1, "e.f")] == 6
    assert found[("g", "h", "i")] == 8
    assert found[("g", "k", 1, "l")] == 11
    assert found[("g", "k", 1, "m")] == 13
    _all_are_found(tomllib.loads(text), (), found)
