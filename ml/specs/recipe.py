"""The specification of a generation recipe, one class for each method. Imports no torch.

A new method is a class derived from `Recipe` in a module of `ml/specs/methods`, with `method` as a
literal of its name, and a member of the union `RecipeSpec`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from melgraph.ml.specs.methods.base import Recipe
from melgraph.ml.specs.methods.dream import DeepDreamRecipe
from melgraph.ml.specs.methods.inversion import InversionRecipe
from melgraph.ml.specs.methods.style_transfer import StyleTransferRecipe
from melgraph.ml.specs.methods.trained import (
    CompositionRecipe,
    GenreTransferRecipe,
    RecreationRecipe,
)

DEFAULT_METHOD = "deep_dream"


class _ChosenByMethod:
    """Makes pydantic choose the member of a union by the key `method`.

    `Field(discriminator="method")` refuses a union of one member, and takes a missing key for an
    error. This does the same for any number of members, and with a default.
    """

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        members = get_args(source) or (source,)  # Python turns a union of one into its member
        schemas = {method_of(member): handler.generate_schema(member) for member in members}
        return core_schema.tagged_union_schema(
            schemas,
            discriminator=_read_method,
            custom_error_type="unknown_method",
            custom_error_message=f"must be one of the methods: {', '.join(sorted(schemas))}",
        )


def method_of(recipe: type[Recipe]) -> str:
    """The name of the method that a class of recipes is for."""
    (name,) = get_args(recipe.model_fields["method"].annotation)
    return name


def _read_method(recipe: Recipe | Mapping[str, Any]) -> Any:
    if isinstance(recipe, Mapping):
        return recipe.get("method", DEFAULT_METHOD)
    return getattr(recipe, "method", None)


RecipeSpec = Annotated[
    DeepDreamRecipe
    | InversionRecipe
    | StyleTransferRecipe
    | GenreTransferRecipe
    | RecreationRecipe
    | CompositionRecipe,
    _ChosenByMethod(),
]
"""The recipe of any method."""
