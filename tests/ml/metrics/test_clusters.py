import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_samples

from melgraph.ml.metrics.clusters import ari, contingency, hungarian_accuracy, nmi, silhouettes

partitions = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from("abcd")), min_size=2, max_size=40
).map(lambda rows: ([c for c, _ in rows], [label for _, label in rows]))


class TestHungarianAccuracy:
    @settings(deadline=None)
    @given(partitions)
    def test_is_the_best_of_all_matchings(self, case):
        clusters, labels = case
        accuracy, mapping = hungarian_accuracy(clusters, labels)
        # Names nobody has stand for "matched with nothing".
        names = [*sorted(set(labels)), *"wxyz"]
        best = max(
            sum(order[c] == label for c, label in zip(clusters, labels, strict=True))
            for order in itertools.permutations(names, 4)
        )
        assert accuracy == pytest.approx(best / len(labels))
        hits = sum(mapping.get(c) == label for c, label in zip(clusters, labels, strict=True))
        assert accuracy == pytest.approx(hits / len(labels))
        assert len(set(mapping.values())) == len(mapping)

    def test_clusters_left_over_are_wrong(self):
        assert hungarian_accuracy([5, 5, 7], ["a", "a", "a"]) == (2 / 3, {5: "a"})

    def test_lengths(self):
        for clusters, labels in (([], []), ([1], ["a", "b"])):
            with pytest.raises(ValueError, match="clustered tracks"):
                hungarian_accuracy(clusters, labels)


class TestFormulas:
    """The vectorised metrics, compared with scikit-learn's."""

    @settings(deadline=None)
    @given(partitions)
    def test_nmi_and_ari(self, case):
        clusters, labels = np.array(case[0]), np.unique(case[1], return_inverse=True)[1]
        table = contingency(clusters, labels, 4, 4)
        stacked = np.stack([table, table])
        expected = normalized_mutual_info_score(labels, clusters)
        np.testing.assert_allclose(nmi(stacked), expected, atol=1e-9)
        expected = adjusted_rand_score(labels, clusters)
        np.testing.assert_allclose(ari(stacked), expected, atol=1e-9)

    @settings(deadline=None)
    @given(partitions, st.booleans())
    def test_silhouettes(self, case, equal):
        codes = np.array(case[0])
        vectors = np.random.default_rng(0).normal(size=(len(codes), 3)) * (not equal)
        distances = np.linalg.norm(vectors[:, None] - vectors, axis=2)
        values = silhouettes(distances.astype(np.float32), codes)
        if 2 <= len(set(case[0])) < len(codes):
            expected = silhouette_samples(distances, codes, metric="precomputed")
            np.testing.assert_allclose(values, expected, atol=1e-5)
        else:
            assert np.isnan(values).all()
