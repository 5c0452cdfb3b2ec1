"""What the service counts and measures, as Prometheus reads it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from melgraph.assets.service.indexes import Indexes
    from melgraph.storage.artifacts import ArtifactStore

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
UNKNOWN = "none"  # the route of requests that match no route


class Metrics:
    """The counters of one app. Two apps of a process share none."""

    def __init__(self) -> None:
        # No time stamp for each counter, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "melgraph_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "melgraph_request_seconds",
            "Seconds from a request to the end of its answer.",
            ("route",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "melgraph_requests_in_progress",
            "Requests that are being answered.",
            registry=self.registry,
        )
        self.refusals = Counter(
            "melgraph_requests_rejected",
            "Requests that were refused with the status 503: too many queries at once, no index, a "
            "TOML file that cannot be used, or a file or a bucket that cannot be read.",
            ("route",),
            registry=self.registry,
        )

    def text(self) -> bytes:
        """All figures in the text format of Prometheus."""
        return generate_latest(self.registry)


class IndexFigures(Collector):
    """The size and the age of the indexes that are open."""

    def __init__(self, indexes: "Indexes", store: "ArtifactStore") -> None:
        self._indexes, self._store = indexes, store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One value per encoder."""
        tracks = GaugeMetricFamily(
            "melgraph_index_tracks", "Tracks of the index in use.", labels=["encoder"]
        )
        age = GaugeMetricFamily(
            "melgraph_index_age_seconds",
            "Seconds since the index in use was made.",
            labels=["encoder"],
        )
        for index in self._indexes.open_indexes():
            name = index.recommender.encoder.partition
            tracks.add_metric([name], index.n_tracks)
            artifact = self._store.find(index.recommender.index)
            if artifact is not None:
                made_at = datetime.fromisoformat(artifact.record.finished_at)
                age.add_metric([name], (datetime.now(UTC) - made_at).total_seconds())
        yield tracks
        yield age


class RequestCounter:
    """Counts every request, as ASGI middleware around all others."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        metrics, status, began_s = self._metrics, 500, time.perf_counter()

        async def count_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics.in_progress.inc()
        try:
            await self._app(scope, receive, count_status)
        finally:
            metrics.in_progress.dec()
            route = route_of(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            metrics.requests.labels(method, route, str(status)).inc()
            metrics.seconds.labels(route).observe(time.perf_counter() - began_s)
            if status == 503:
                metrics.refusals.labels(route).inc()


def route_of(scope: Scope) -> str:
    """The template of the address, such as `/tags/{track}`: addresses themselves are unbounded."""
    route = getattr(scope.get("route"), "path", None)
    return str(route) if route else str(scope.get("melgraph_route", UNKNOWN))
