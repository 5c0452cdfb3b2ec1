"""What Dagster itself calls stale, as its UI shows it."""

from dagster import DagsterInstance, Definitions
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest


def stale_in_dagster(
    instance: DagsterInstance, definitions: Definitions
) -> dict[tuple[str, str | None], list[str]]:
    """(asset, partition) -> the reasons, for each partition that Dagster calls stale."""
    graph = definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    stale = {}
    for key in graph.get_all_asset_keys():
        partitions = graph.get(key).partitions_def
        names = (
            partitions.get_partition_keys(dynamic_partitions_store=instance)
            if partitions
            else [None]
        )
        for name in names:
            if resolver.get_status(key, name) is StaleStatus.STALE:
                causes = resolver.get_stale_causes(key, name)
                stale[key.to_user_string(), name] = [
                    f"{cause.dependency_asset_key.to_user_string()} {cause.reason}"
                    if cause.dependency
                    else cause.reason
                    for cause in causes
                ]
    return stale
