"""The settings of a service, and what its endpoints work with."""

from contextlib import suppress
from dataclasses import dataclass, field

from melgraph.assets.service.gate import Gate
from melgraph.assets.service.indexes import Indexes
from melgraph.assets.service.metrics import IndexFigures, Metrics
from melgraph.assets.service.problems import Refusal
from melgraph.assets.service.tracks import NamedTracks
from melgraph.assets.service.uploads import Uploads
from melgraph.ml.workers import default_workers
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.home import Home


@dataclass(frozen=True)
class ServiceSettings:
    """Who may ask, and how much.

    Attributes:
        hosts: names under which the service may be called, besides the loopback names and the host
            of `MELGRAPH_PAGES_URL`.
        token: what `Authorization: Bearer` must hold; None if no token is needed.
        most_upload_bytes: the largest query file.
        most_query_s: seconds of a query file that are used, from its beginning.
        time_limit_s: seconds from a request to its answer.
        computed_at_once: queries that are computed at once.
        waiting: queries that may wait for those; further ones are refused at once, and so are
            queries that would wait longer than the time limit.
    """

    hosts: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    most_upload_bytes: int = 50_000_000
    most_query_s: float = 300.0
    time_limit_s: float = 60.0
    computed_at_once: int = field(default_factory=default_workers)
    waiting: int = 128


class Service:
    """What the endpoints of one app share.

    Args:
        home: the home that it serves.
        settings: who may ask, and how much.
        indexes: the indexes; None to open those of the home.
        uploads: decodes query files; None for worker processes as the settings ask for.
    """

    def __init__(
        self,
        home: Home,
        settings: ServiceSettings,
        *,
        indexes: Indexes | None = None,
        uploads: Uploads | None = None,
    ) -> None:
        self.home, self.settings = home, settings
        self.store = ArtifactStore(home)
        self.tracks = NamedTracks(self.store)
        self.indexes = indexes or Indexes(self.store)
        self.gate = Gate(
            computed_at_once=settings.computed_at_once,
            waiting=settings.waiting,
            time_limit_s=settings.time_limit_s,
        )
        self.uploads = uploads or Uploads(
            workers=settings.computed_at_once,
            most_s=settings.most_query_s,
            time_limit_s=settings.time_limit_s / 2,  # the other half is for the query
        )
        self.metrics = Metrics()
        self.metrics.registry.register(IndexFigures(self.indexes, self.store))

    def warm_up(self) -> None:
        """Open the index that answers by default, so that the first query does not wait for it."""
        with suppress(Refusal):  # there is none yet, or it cannot be used: a query gets the error
            self.indexes.current()

    def close(self) -> None:
        """End the threads and the worker processes."""
        self.gate.close()
        self.uploads.close()
