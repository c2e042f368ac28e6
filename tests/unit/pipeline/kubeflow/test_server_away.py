"""`kindred submit` while the server is unreachable, and when it stops following."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.kubeflow import run_view
from tests.unit.pipeline.kubeflow.fake_kubeflow import FakeKubeflow
from tests.unit.pipeline.kubeflow.fake_workflow import done, running
from tests.unit.pipeline.kubeflow.films_run import DATA, at, published


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_unreachable_server_is_waited_for(submit: Any, server: FakeKubeflow, status: int) -> None:
    server.script = [at("RUNNING", running("data")), at("SUCCEEDED", done("data", *DATA), published())]
    server.failing, server.failures = "/runs/", [(status, {"message": "away"})] * 12
    code, _, err = submit()
    assert code == 0, err
    assert err.count("does not answer; still following") == err.count("answers again") == 1
    assert err.index("still following") < err.index("answers again")
    assert "Retry" not in err and "WARNING" not in err and "urllib3" not in err


def test_lasting_outage_ends_following(submit: Any, server: FakeKubeflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_view, "PATIENCE", 0.0)
    server.failing, server.failures = "/runs/", [(503, {"message": "away"})] * 100
    code, out, err = submit()
    (run_id,) = server.runs
    assert (code, out.splitlines()[-1]) == (1, run_id)
    assert f"run {run_id} continues; `kindred submit --follow {run_id} --host {server.url}`" in err


@pytest.mark.parametrize("status", [401, 403, 404])
def test_refusal_that_passes_is_waited_for(submit: Any, server: FakeKubeflow, status: int) -> None:
    server.script = [at("RUNNING", running("data")), at("SUCCEEDED", done("data", *DATA), published())]
    server.failing, server.failures = "/apis/v2beta1/runs/", [(status, {"message": "expired"})] * 3
    code, _, err = submit()
    assert code == 0, err
    assert err.count(f"({status}): expired") == err.count("still following") == err.count("answers again") == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_lasting_refusal_ends_following(
    submit: Any, server: FakeKubeflow, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(run_view, "PATIENCE_WITH_REFUSALS", 0.0)
    server.script = [at("RUNNING", running("data"))]
    server.failing, server.failures = "/apis/v2beta1/runs/", [(status, {"message": "expired"})] * 9
    code, out, err = submit()
    assert (code, out.split()) == (1, list(server.runs)), "2 would mean that nothing was started"
    assert f"({status})" in err and "continues" in err and "kindred submit --follow" in err


def test_login_page_while_following_is_waited_for(submit: Any, server: FakeKubeflow) -> None:
    server.script = [at("RUNNING", running("data")), at("SUCCEEDED", done("data", *DATA), published())]
    server.failing, server.failures = "/apis/v2beta1/runs/", [(200, "<html>log in</html>")] * 2
    code, _, err = submit()
    assert code == 0 and "web page" in err and "--cookie" in err


def test_interrupt_leaves_run_running(submit: Any, server: FakeKubeflow, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_view.RunView, "look", interrupt)
    code, out, err = submit()
    (run_id,) = server.runs
    assert (code, out.splitlines()[-1]) == (1, run_id)
    follow = f"kindred submit --follow {run_id} --host {server.url}"
    assert f"run {run_id} continues; `{follow}` follows it again" in err
