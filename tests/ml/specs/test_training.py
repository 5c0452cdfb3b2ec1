import pytest
from pydantic import ValidationError

from melgraph.ml.specs.training import TrainingConfig


def test_config_is_strict_frozen_and_described():
    with pytest.raises(ValidationError, match="epoch_count"):
        TrainingConfig(epoch_count=3)
    with pytest.raises(ValidationError, match="frozen"):
        TrainingConfig().epochs = 5
    with pytest.raises(ValidationError, match="learning_rate"):
        TrainingConfig(learning_rate=0)
    assert all(field.description for field in TrainingConfig.model_fields.values())
