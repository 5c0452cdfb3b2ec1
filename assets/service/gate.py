"""The gate: how many queries are computed at once, how many wait, and how long each may take.

A thread of Python cannot be stopped. Therefore a query that took too long is answered with an
error at once, and its thread keeps its place until it ends: the number of threads stays bounded.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from melgraph.assets.service.problems import Refusal, busy

Value = TypeVar("Value")
MOST_WAIT_S = 60  # that a client is asked to wait
_NEWEST = 0.2  # weight of the newest computation in the mean
_FORM_BYTES = 1 << 16  # what a form may hold besides the file


class Place:
    """The place of one request. It is free again when the request and its thread have ended."""

    def __init__(self, gate: "Gate") -> None:
        self._gate = gate
        self._work: Future[Any] | None = None

    @property
    def has_arrived(self) -> bool:
        """Whether the whole request was read, so that its computation could be asked for."""
        return self._work is not None

    @property
    def has_only_waited(self) -> bool:
        """Whether the computation was given up before it began."""
        return self._work is not None and self._work.cancelled()

    async def run(self, function: Callable[[], Value]) -> Value:
        """Compute in a thread, after the requests that came before."""
        self._work = self._gate.submit(function)
        value: Value = await asyncio.wrap_future(self._work)
        return value

    def leave(self) -> None:
        """Give the place back, as soon as its thread has ended."""
        if self._work is None:
            self._gate.release()
        else:  # called at once if the thread has ended
            self._work.add_done_callback(lambda _: self._gate.release())


class Gate:
    """A bounded number of places for requests that compute.

    Attributes:
        time_limit_s: seconds from the first byte of a request to its answer.
    """

    def __init__(self, *, computed_at_once: int, waiting: int, time_limit_s: float) -> None:
        self.time_limit_s = time_limit_s
        self._computed_at_once = computed_at_once
        self._threads: ThreadPoolExecutor | None = None
        self._places = computed_at_once + waiting
        self._mean_s = 0.0  # of the last computations
        self._n_taken = 0
        self._lock = threading.Lock()

    @property
    def n_taken(self) -> int:
        """The number of places that are taken: queries that wait or are computed."""
        return self._n_taken

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place for one request.

        Raises:
            Refusal: all places are taken, or the request would wait for longer than it may (503).
        """
        with self._lock:
            n_before = max(0, self._n_taken + 1 - self._computed_at_once)
            wait_s = self._mean_s * n_before / self._computed_at_once
            if self._n_taken >= self._places or wait_s > self.time_limit_s:
                raise self.busy(f"{self._n_taken} queries are computed or wait already")
            self._n_taken += 1
        place = Place(self)
        try:
            yield place
        finally:
            place.leave()

    def submit(self, function: Callable[[], Value]) -> Future[Value]:
        """Compute in a thread, after the calls that came before."""
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(
                    self._computed_at_once, thread_name_prefix="query"
                )
            return self._threads.submit(lambda: self._measure(function))

    def _measure(self, function: Callable[[], Value]) -> Value:
        began_s = time.monotonic()
        try:
            return function()
        finally:
            self._mean_s += _NEWEST * (time.monotonic() - began_s - self._mean_s)

    def busy(self, what: str) -> Refusal:
        """The refusal of a query for which there is no place, with the time until there is one."""
        wait_s = self._mean_s * self._places / self._computed_at_once
        return busy(what, retry_after_s=max(1, min(math.ceil(wait_s), MOST_WAIT_S)))

    def release(self) -> None:
        """Count one place as free."""
        with self._lock:
            self._n_taken -= 1

    def close(self) -> None:
        """Drop the queries that wait. The threads end with the queries that they compute."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)


class UploadRequest(Request):
    """A request whose body is counted while it is read, and holds one file."""

    def __init__(self, request: Request, most_bytes: int) -> None:
        super().__init__(request.scope, self._count)
        self._original, self._most_bytes, self._n_bytes = request, most_bytes, 0

    async def _count(self) -> Message:
        message = await self._original.receive()
        self._n_bytes += len(message.get("body", b""))
        if self._n_bytes > self._most_bytes + _FORM_BYTES:
            raise too_large(self._most_bytes)
        return message

    def form(self, **limits: Any) -> Any:
        """The form. More than one file, or other fields, are refused by its parser."""
        return super().form(**{**limits, "max_files": 1, "max_fields": 0})


def too_large(most_bytes: int) -> Refusal:
    """The refusal of a file that is larger than the limit."""
    return Refusal(
        413,
        "too-large",
        f"the file is larger than {most_bytes / 1e6:g} MB",
        where="file",
        remedy="send an excerpt, or a compressed file such as mp3",
        headers={"Connection": "close"},  # what follows of the body is not read
    )


class GatedRoute(APIRoute):
    """A route that needs a place at the gate; its endpoint computes with `request.state.place`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of FastAPI, which also reads the body, behind the gate."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            service = request.app.state.service
            if request.method == "POST":
                request = UploadRequest(request, service.settings.most_upload_bytes)
            gate: Gate = service.gate
            with gate.place() as place:
                request.state.place = place
                try:
                    async with asyncio.timeout(gate.time_limit_s):
                        return await answer(request)
                except TimeoutError:
                    raise _time_limit_refusal(place, gate) from None

        return handle


def _time_limit_refusal(place: Place, gate: Gate) -> Refusal:
    limit = f"within {gate.time_limit_s:g} s"
    if not place.has_arrived:
        return Refusal(
            408,
            "upload-too-slow",
            f"the request did not arrive {limit}",
            where="body",
            remedy="send a smaller file, or use a faster connection",
            headers={"Connection": "close"},
        )
    if place.has_only_waited:
        return gate.busy(f"the queries that came before were not finished {limit}")
    return Refusal(
        504,
        "took-too-long",
        f"the answer was not ready {limit}",
        where="the service",
        remedy="try again when the service has less to do, or ask for less (a smaller k)",
    )
