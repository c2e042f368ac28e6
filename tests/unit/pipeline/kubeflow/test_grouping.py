"""Grouping of nodes into tasks, for random graphs and resources."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.sections.kubeflow import Kubeflow, TaskResources
from pipeline.kubeflow.grouping import group_nodes

NODES = ["PairExampleGen", "DataGate", "Transform", "Tuner", "Trainer", "Evaluator", "Pusher"]


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, list[str]]:
    """Draws graphs in which a node waits only for earlier nodes."""
    node_ids = [node_id for node_id in NODES if draw(st.booleans())] or ["Trainer"]
    return {
        node_id: draw(st.lists(st.sampled_from(node_ids[:number]), unique=True) if number else st.just([]))
        for number, node_id in enumerate(node_ids)
    }


@given(shape=shapes(), apart=st.sets(st.sampled_from(NODES)), group=st.sampled_from(["light", "none"]))
def test_grouping_keeps_nodes_order_and_edges(shape: dict[str, list[str]], apart: set[str], group: str) -> None:
    components = {node_id: TaskResources(memory=f"{number + 8}Gi") for number, node_id in enumerate(sorted(apart))}
    groups = group_nodes(shape, Kubeflow(group=group, components=components))
    assert [node_id for task in groups for node_id in task.node_ids] == list(shape)
    assert len({task.name for task in groups}) == len(groups)
    task_of = {node_id: task.name for task in groups for node_id in task.node_ids}
    names = [task.name for task in groups]
    for task in groups:
        assert all(names.index(other) < names.index(task.name) for other in task.upstream)
        needed = {task_of[other] for node_id in task.node_ids for other in shape[node_id]} - {task.name}
        assert set(task.upstream) == needed
        if len(task.node_ids) > 1:
            assert group == "light"
            assert not {*task.node_ids} & ({"Trainer", "Tuner"} | apart)


def test_ungrouped_nodes_are_tasks_of_their_own() -> None:
    groups = group_nodes({"PairExampleGen": [], "DataGate": ["PairExampleGen"]}, Kubeflow(group="none"))
    assert [(task.name, task.node_ids, task.upstream) for task in groups] == [
        ("PairExampleGen", ("PairExampleGen",), ()),
        ("DataGate", ("DataGate",), ("PairExampleGen",)),
    ]


def test_equal_own_resources_do_not_split() -> None:
    needs = TaskResources(memory="8Gi")
    kubeflow = Kubeflow(components={"PairExampleGen": needs, "DataGate": needs})
    (task,) = group_nodes({"PairExampleGen": [], "DataGate": ["PairExampleGen"]}, kubeflow)
    assert (task.name, task.node_ids) == ("Data", ("PairExampleGen", "DataGate"))
