"""The parameters of runs."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from errors import ConfigError
from pipeline.config import PipelineConfig
from pipeline.kubeflow.parameters import LATEST, at_span, is_parameter, run_parameters


def test_parameters_are_non_null_values() -> None:
    tree = {"name": "films", "data": {"path": "/kindred/a.csv"}}
    parameters = {p.name: p.default for p in run_parameters(PipelineConfig.model_validate(tree), "/kindred/films")}
    assert parameters["train_early_stopping_patience"] == 2
    assert parameters["pipeline_root"] == "/kindred/films" and parameters["span"] == LATEST
    assert "encode_max_vocabulary" not in parameters and None not in parameters.values()
    only = PipelineConfig.model_validate(tree | {"kubeflow": {"parameters": ["validate.min_rows"]}})
    assert is_parameter(only, "validate.min_rows") and not is_parameter(only, "train.epochs")


@pytest.mark.parametrize(
    ("path", "span", "expected"),
    [
        ("/d/span-{SPAN}/*", LATEST, "/d/span-{SPAN}/*"),
        ("/d/span-{SPAN}/*", "7", "/d/span-7/*"),
        ("/d/span-{SPAN:4}/*", "7", "/d/span-0007/*"),
        ("/d/{YYYY}/{MM}-{DD}.csv", "2026-11-05", "/d/2026/11-05.csv"),
        ("/d/a.csv", LATEST, "/d/a.csv"),
    ],
)
def test_span_is_filled_in(path: str, span: str, expected: str) -> None:
    assert at_span({"path": path}, span) == {"path": expected}


@pytest.mark.parametrize(
    "section", [{"spans": {"latest": 7}}, {"spans": {"latest": 1}, "age_weight": {"half_life": 2}}]
)
def test_span_of_several_is_the_newest(section: dict[str, Any]) -> None:
    for path, span, last in (("/d/{SPAN}", "12", 12), ("/d/{YYYY}-{MM}-{DD}", "2026-11-05", "2026-11-05")):
        data = {"path": path, **section}
        assert at_span(data, span) == data | {"spans": section["spans"] | {"last": last}}
        assert at_span(data, LATEST) == data
        with pytest.raises(ConfigError, match="span: "):
            at_span(data, "x")


@pytest.mark.parametrize(
    ("path", "span"), [("/d/{SPAN}", "seven"), ("/d/{SPAN}", "-1"), ("/d/{YYYY}{MM}{DD}", "7"), ("/d/a.csv", "7")]
)
def test_invalid_span_is_refused(path: str, span: str) -> None:
    with pytest.raises(ConfigError, match="span: "):
        at_span({"path": path}, span)


@hypothesis.given(st.integers(0, 10**9), st.integers(1, 12))
def test_span_is_padded_to_width(span: int, width: int) -> None:
    found = at_span({"path": f"/d/{{SPAN:{width}}}"}, str(span))["path"].removeprefix("/d/")
    assert int(found) == span and len(found) == max(width, len(str(span)))
