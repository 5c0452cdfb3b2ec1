import math

from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.storage.vector_index import segments_of_batches

sizes = st.lists(st.integers(0, 20_000), max_size=200)


@settings(deadline=None)
@given(sizes)
def test_segments_cover_all_batches_in_order(batches):
    covered = [i for part in segments_of_batches(batches) for i in range(len(batches))[part]]
    assert covered == list(range(len(batches)))


@settings(deadline=None)
@given(sizes)
def test_there_are_few_segments(batches):
    total = max(sum(batches), 1)
    most = 3 * (2 + max(0, math.ceil(math.log(total / 256, 4)))) if total > 256 else 3
    assert len(segments_of_batches(batches)) <= most


@settings(deadline=None)
@given(sizes)
def test_a_new_batch_changes_only_the_last_segments(batches):
    """All earlier segments stay, so their files are used again."""
    for n in range(len(batches)):
        before, after = segments_of_batches(batches[:n]), segments_of_batches(batches[: n + 1])
        assert after[:-1] == before[: len(after) - 1]


def test_every_vector_is_written_again_a_logarithmic_number_of_times():
    written, existing = 0, set()
    batches = [500] * 1024
    for n in range(1, len(batches) + 1):
        for part in segments_of_batches(batches[:n]):
            if (part.start, part.stop) not in existing:
                existing.add((part.start, part.stop))
                written += sum(batches[part])
    # Once as a batch and once per merge; the last batch before a merge is written with it.
    assert 4 < written / sum(batches) <= 1 + math.log(1024, 4)
