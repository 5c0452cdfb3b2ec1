"""What every spec has."""

from pydantic import BaseModel, ConfigDict, Field

SPLITS = ("train", "validation", "test")


class Spec(BaseModel):
    """What every spec has. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(description="one line for people")
