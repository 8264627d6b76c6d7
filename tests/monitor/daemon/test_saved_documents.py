"""Every document and profile is read as it was written, by this version and by earlier ones, or refused as corrupt."""

from __future__ import annotations

import importlib.util
import json
import math
import types
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from detectors.drift.reference import Dispersion
from monitor.common.codec import CorruptError, decode, encode, from_json, to_json, to_plain_json
from monitor.common.errors import ReferenceDataError
from monitor.daemon.saved_documents import KINDS, read_document
from monitor.evaluate.change_points import States
from monitor.evaluate.realised import ErrorsFollowed
from monitor.evaluate.record_faults import RecordFaults
from monitor.evaluate.schema_changes import SchemaChanges
from monitor.labels.document import LabelState
from monitor.reference.build import build_profile
from monitor.reference.joint import JointModel
from monitor.reference.profile import decode_profile, encode_profile
from monitor.reference.streams import Streams
from tests.support.paths import DATA

FOLDER = DATA / "documents"
WERE_JSON = ("traffic", "followed")
MANY_PARTS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
SCALARS = st.none() | st.integers(-9, 9) | st.text(max_size=3)


@cache
def packed(prefix: str) -> dict[str, bytes]:
    """What commit b0c182c wrote, by name."""
    with zipfile.ZipFile(FOLDER / "documents.zip") as archive:
        return {name.removeprefix(prefix): archive.read(name) for name in archive.namelist() if name.startswith(prefix)}


def kind_of(name: str) -> Any:
    """The type of a document."""
    return KINDS[name.partition("/")[0]]


DOCUMENTS, PROFILES = packed("documents/"), packed("profiles/")


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any values of a type."""
    origin, inner = get_origin(kind), get_args(kind)
    plain = {
        int: st.integers(-(2**63), 2**63 - 1), float: st.floats(), str: st.text(max_size=5), bool: st.booleans(),
        bytes: st.binary(max_size=5), type(None): st.none(), Any: SCALARS, object: SCALARS,
    }  # fmt: skip
    if kind in plain:
        return plain[kind]
    if origin is np.ndarray:
        dtype = np.dtype(get_args(inner[1])[0])
        numbers = st.sampled_from([0.0, -0.5, math.nan, math.inf, 1e-300] if dtype.kind == "f" else [0, 1])
        return arrays(dtype, array_shapes(min_dims=0, max_dims=2, max_side=2, min_side=0), elements=numbers)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(values, inner))
    if origin in (dict, Mapping):
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=3)
    if origin is set:  # one at most: the order of more is not fixed
        return st.sets(values(inner[0]), max_size=1)
    if origin is list or inner[1:] == (...,):
        lists = st.lists(values(inner[0]), max_size=3)
        return lists if origin is list else lists.map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, inner))
    fields = {name: values(part) for name, part in get_type_hints(kind).items()}
    if kind is LabelState:
        fields["manifest"] = SCALARS.map(msgspec.json.encode)
    if kind is ErrorsFollowed:
        fields["sequences"] = st.dictionaries(st.text(max_size=3), values(States).map(encode), max_size=2)
    if kind is JointModel:
        fields["sticks"] = st.just({})  # what is computed from the others
    return st.fixed_dictionaries(fields).map(lambda given: kind(**given))


@pytest.mark.long
@pytest.mark.parametrize("name", KINDS)
@settings(MANY_PARTS, max_examples=30)
@given(st.data())
def test_any_document_comes_back(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    raw = encode(data.draw(values(kind)))
    assert encode(decode(raw, kind)) == raw
    read_document(f"{name}/m", raw)


def test_there_are_documents_of_every_kind_from_before() -> None:
    assert {name.partition("/")[0] for name in DOCUMENTS} == KINDS.keys()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_from_before_are_read_and_keep_their_layout(name: str) -> None:
    raw, kind = DOCUMENTS[name], kind_of(name)
    value = decode(raw, kind)
    if name.startswith(WERE_JSON):
        assert to_json(value) == raw
        assert to_json(decode(encode(value), kind)) == raw
    elif name.startswith("schema"):
        assert decode(encode(value), kind) == value
    else:
        assert encode(value) == raw


@pytest.mark.parametrize(("name", "made"), [("schema/lone", SchemaChanges()), ("faults/lone", RecordFaults(1))])
def test_what_is_in_sets_and_tables_is_saved_in_order(name: str, made: SchemaChanges | RecordFaults) -> None:
    made.restore(DOCUMENTS[name])
    assert made.document() == DOCUMENTS[name]


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_from_before_are_read_and_written_alike(name: str) -> None:
    assert encode_profile(decode_profile(PROFILES[name], name)) == PROFILES[name]


def test_their_fingerprints_stay() -> None:
    read = {name: decode_profile(raw, name) for name, raw in PROFILES.items()}
    assert {name: (profile.fingerprint(), profile.performance.fingerprint()) for name, profile in read.items()} == {
        "binary.json": ("1e13ad7fb3baf1db", "fbe50c3802b37bd0"),
        "multiclass.json": ("1433a2f751d36fc1", "2f9fa12ae44a0ec2"),
        "ranking.json": ("440a0bab7a028611", "5cb73b308187122b"),
        "regression.json": ("c19a7dfc3258559f", "8dcade12705891ec"),
    }


def recipes() -> Any:
    """The module that made the fixture."""
    spec = importlib.util.spec_from_file_location("recipes", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(["binary", "multiclass", "regression", "ranking"]), st.integers(0, 99), st.integers(200, 600),
    st.sampled_from([{}, {"segments": ["sex"]}, {"drift": {"season": "hour_of_day"}}]),
)  # fmt: skip
def test_any_profile_comes_back(task: str, seed: int, rows: int, more: dict[str, Any]) -> None:
    made = recipes()
    profile = build_profile(made.table(task, rows, seed), made.section(task, **more))
    raw = encode_profile(profile)
    back = decode_profile(raw, "r")
    assert encode_profile(back) == raw
    assert back.fingerprint() == profile.fingerprint()
    assert back.performance.fingerprint() == profile.performance.fingerprint()


@pytest.mark.long
@settings(MANY_PARTS, max_examples=30)
@given(values(JointModel), values(Streams), values(Dispersion))
def test_parts_of_profiles_come_back(joint: JointModel, streams: Streams, dispersion: Dispersion) -> None:
    assert to_json(from_json(to_json(joint), JointModel)) == to_json(joint)
    assert to_json(from_json(to_json(streams), Streams)) == to_json(streams)
    raw = to_plain_json(dispersion)
    assert to_plain_json(from_json(raw, Dispersion, strict=True)) == raw


def harmed(raw: bytes, place: int, bit: int, *, cut: bool) -> bytes:
    """Bytes that end early, or with one bit flipped."""
    place %= len(raw)
    return raw[:place] if cut else raw[:place] + bytes([raw[place] ^ 1 << bit]) + raw[place + 1 :]


FLIPS = (st.integers(0, 2**20), st.integers(0, 7), st.booleans())


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=50)
@given(*FLIPS)
def test_a_corrupt_document_is_a_value_or_refused(name: str, place: int, bit: int, cut: bool) -> None:
    kind = kind_of(name)
    for raw in (DOCUMENTS[name], encode(decode(DOCUMENTS[name], kind))):
        with suppress(CorruptError):
            encode(decode(harmed(raw, place, bit, cut=cut), kind))


@pytest.mark.parametrize("name", PROFILES)
@settings(max_examples=30, deadline=None)
@given(*FLIPS)
def test_a_corrupt_profile_is_a_value_or_refused(name: str, place: int, bit: int, cut: bool) -> None:
    with suppress(ReferenceDataError):
        decode_profile(harmed(PROFILES[name], place, bit, cut=cut), name)


@pytest.mark.parametrize("name", ["performance/m", "errors/m"])
def test_what_is_nested_in_a_document_is_decoded_too(name: str) -> None:
    raw = DOCUMENTS[name]
    place = raw.rindex(b"{")
    with pytest.raises(CorruptError):
        read_document(name, raw[:place] + b"#" + raw[place + 1 :])


def test_documents_of_a_version_to_come_are_passed_over() -> None:
    read_document("forecast/m", b"\xc1")


def test_nan_and_infinity_are_kept() -> None:
    value = decode(DOCUMENTS["traffic/m"], kind_of("traffic"))
    value.rows = math.inf
    assert decode(encode(value), kind_of("traffic")).rows == math.inf
    assert json.loads(to_json(value))["rows"] == "inf"
