"""What the manifest of a sound says, and who signs it."""

from dataclasses import replace

import pytest

from melgraph.assets.generation.marks.exports import choose_sound
from melgraph.assets.generation.marks.signing import home_credential, statement_of, user_credential
from melgraph.ml.credentials.certificates import self_made_credential
from melgraph.ml.errors import UserError

FIRST = "01-t-1.dream.flac"


def test_the_statement_names_the_record_the_networks_and_the_recordings(store, dreams):
    statement = statement_of(choose_sound(store, dreams, FIRST, None))
    assert statement.title == "Été 1 (deep dream)"
    assert statement.method == "deep_dream"
    assert not statement.is_composed
    source, guide = sorted(statement.ingredients, key=lambda one: one.is_guide)
    assert (source.title, source.sha256) == ("Été 1.wav", f"{1:064x}")
    assert (guide.title, guide.sha256) == ("guide.wav", f"{9:064x}")
    provenance = statement.provenance
    assert provenance["record"] == str(dreams.reference)
    assert provenance["sha256"] == dreams.record.files[FIRST][0]
    assert provenance["networks"] == [f"vgg16 (sha256 {'ab' * 32})"]
    recordings = {one["role"]: one for one in provenance["recordings"]}
    assert recordings["source"]["track_id"] == f"{1:032x}"
    assert (recordings["guide"]["start_s"], recordings["guide"]["seconds"]) == (1.5, 0.5)


def test_a_home_keeps_its_credential(store):
    assert home_credential(store.home) == home_credential(store.home)


def test_a_damaged_credential_of_the_home_has_a_remedy(store):
    home_credential(store.home)
    key = store.home.root / "credentials" / "key.pem"
    key.write_bytes(self_made_credential().key)
    with pytest.raises(UserError, match="does not fit") as caught:
        home_credential(store.home)
    assert f"move the folder {key.parent}" in caught.value.remedy


def test_the_credential_of_a_user_is_read_from_two_files(tmp_path):
    own, chain, key = self_made_credential(), tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(own.chain)
    with pytest.raises(UserError, match="--key cannot be read") as caught:
        user_credential(chain, key)
    assert caught.value.where == str(key)
    key.write_bytes(own.key)
    assert user_credential(chain, key) == replace(own)
