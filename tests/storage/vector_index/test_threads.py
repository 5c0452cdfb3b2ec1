"""Threads of the vector index."""

import threading
from concurrent.futures import ThreadPoolExecutor

import faiss
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melgraph.storage.vector_index import threads
from melgraph.storage.vector_index.threads import in_threads, one_blas_thread, parts_of


@pytest.fixture
def two_threads():
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    yield
    faiss.omp_set_num_threads(before)


def blas_threads() -> list[int]:
    return [library.get_num_threads() for library in threads._blas().lib_controllers]


@pytest.fixture
def two_blas_threads():
    with threads._blas().limit(limits=2):
        yield


@given(st.integers(0, 5000), st.integers(1, 600), st.integers(1, 600))
def test_parts_cover_everything_once(n, smallest, largest):
    parts = parts_of(n, min(smallest, largest), largest)
    assert [i for part in parts for i in range(n)[part]] == list(range(n))
    assert all(0 < part.stop - part.start <= largest for part in parts)


def test_small_work_is_one_part_and_large_work_has_one_per_thread(two_threads):
    assert parts_of(60, 64, 512) == [slice(0, 60)]
    assert parts_of(200, 64, 512) == [slice(0, 100), slice(100, 200)]
    assert [part.stop for part in parts_of(2000, 64, 512)] == [512, 1024, 1536, 2000]


def test_results_keep_the_order_of_the_parts(two_threads, two_blas_threads):
    meeting = threading.Barrier(2, timeout=60)

    def work(part: int) -> tuple[int, int, list[int]]:
        meeting.wait()  # both parts are at work at once, or this fails
        return part, faiss.omp_get_max_threads(), blas_threads()

    results = list(in_threads(work, [3, 1]))
    ones = [1] * len(blas_threads())
    assert results == [(3, 1, ones), (1, 1, ones)]
    assert faiss.omp_get_max_threads() == 2
    assert blas_threads() == [2] * len(ones)


def test_a_single_part_is_done_in_the_thread_of_the_caller(two_threads):
    assert list(in_threads(lambda _: threading.current_thread(), [0])) == [
        threading.current_thread()
    ]


def test_an_error_in_a_part_reaches_the_caller(two_threads, two_blas_threads):
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda part: 1 // part, [1, 0]))
    assert blas_threads() == [2] * len(blas_threads())


def test_of_several_users_at_once_none_leaves_blas_with_one_thread(two_blas_threads):
    assert blas_threads(), "NumPy has a BLAS with threads of its own on the platforms of the lock"
    entered, left = threading.Event(), threading.Event()

    def other_user() -> None:
        with one_blas_thread():
            entered.set()
            left.wait(60)

    with ThreadPoolExecutor(1) as other:
        with one_blas_thread():
            assert set(blas_threads()) == {1}
            done = other.submit(other_user)
            entered.wait(60)
        left.set()
        done.result()
    assert set(blas_threads()) == {2}
