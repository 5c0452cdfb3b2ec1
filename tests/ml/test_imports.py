"""Imports between modules form no cycle, so that every module can be read by itself."""

import graphlib

import grimp
import pytest


def imports(package: str) -> dict[str, set[str]]:
    graph = grimp.build_graph(package)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def cycle_of(imports_of: dict[str, set[str]]) -> list[str]:
    try:
        graphlib.TopologicalSorter(imports_of).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_module_imports_itself_by_way_of_others():
    assert cycle_of(imports("melgraph")) == []


@pytest.mark.parametrize("cycle", [{"a": {"b"}, "b": {"a"}}, {"a": {"b"}, "b": {"c"}, "c": {"a"}}])
def test_a_cycle_is_found(cycle):
    assert set(cycle_of(cycle)) == set(cycle)
