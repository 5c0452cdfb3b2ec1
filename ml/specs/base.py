"""The classes that every specification is built from, and the rule for keys that are added later.

The version of an artifact hashes the values of the specification it was made from. A key that is
added in a later release would therefore change the version of every existing artifact, although
nothing about it changed. `later_key` declares such a key, and `dump_for_version` leaves it out
while it has its default.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

SPLITS = ("train", "validation", "test")
_ADDED = "added"  # in `json_schema_extra` of a field: the release that added it


class TomlTable(BaseModel):
    """One table of a TOML file. It cannot be changed; unknown keys, inf and nan are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def dump_for_version(
        self,
        *,
        mode: Literal["json", "python"] = "python",
        exclude: AbstractSet[str] | None = None,
    ) -> dict[str, Any]:
        """The values that the version of an artifact hashes.

        This is `model_dump` without the keys that were added later and have their default, here
        and in nested tables. Read the result back with `model_validate`, which fills the defaults
        in; do not look up a later key in the dictionary itself.

        Args:
            mode: as of `model_dump`: "json" turns tuples into lists.
            exclude: names of keys to leave out.
        """
        dump = self.model_dump(mode=mode, exclude=set(exclude or ()))
        _remove_later_defaults(self, dump)
        return dump


class TomlSpec(TomlTable):
    """A whole TOML file: a dataset, an experiment, a tagger, an encoder, a recipe or a study."""

    title: str = Field(description="one line for people")


def later_key(default: Any, *, since: str, description: str, **constraints: Any) -> Any:
    """A field for a key that is added to a table after artifacts were made with that table.

    `dump_for_version` leaves the key out while it has its default, so that existing artifacts keep
    their versions. The default must therefore mean what the code did before the key existed, and
    it must never change.

    Args:
        default: the value where the TOML file does not have the key.
        since: the release that adds the key, "0.2" for example.
        description: one line for people.
        constraints: further arguments of `pydantic.Field`, `ge=0` for example.
    """
    return Field(default, description=description, json_schema_extra={_ADDED: since}, **constraints)


class LicenceSpec(TomlTable):
    """The licence of weights, as a user states it for weights that melgraph does not know."""

    weights: str = Field(description="licence of the weights, and who holds the copyright")
    data: str = Field("not stated", description="terms of the data they were trained on")
    commercial_use: Literal["allowed", "forbidden", "unclear"] = Field(
        "unclear", description="whether the terms of weights and data allow commercial use"
    )


def merge_tables(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """A table with the values of another on top; tables in it are merged in the same way."""
    merged = dict(base)
    for key, value in override.items():
        both_tables = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_tables(merged[key], value) if both_tables else value
    return merged


def problems_of(error: ValidationError, *, union_key: str | None = None) -> list[str]:
    """The problems that pydantic reports, one `key: problem (got value)` each.

    Args:
        error: of the validation of a table.
        union_key: the key that chooses between several classes for the table, if there are several.
    """
    problems = []
    for item in error.errors():
        loc, value = item["loc"], item["input"]
        if union_key is not None and loc:
            loc = loc[1:]  # pydantic puts the name of the class first, which is no key of the file
        elif union_key is not None:  # no class could be chosen
            loc, value = (union_key,), value.get(union_key)
        key = ".".join(str(part) for part in loc) or "(file)"
        got = "" if item["type"] == "missing" else f" (got {value!r})"
        problems.append(f"{key}: {item['msg']}{got}")
    return problems


def _remove_later_defaults(value: Any, dump: Any) -> None:
    """Walks through a value and its dump side by side, and removes keys from the dump."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            if name not in dump:
                continue
            current = getattr(value, name)
            if _is_later(field) and current == field.get_default(call_default_factory=True):
                del dump[name]
            else:
                _remove_later_defaults(current, dump[name])
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _remove_later_defaults(item, dump[key])
    elif isinstance(value, list | tuple):
        for item, item_dump in zip(value, dump, strict=True):
            _remove_later_defaults(item, item_dump)


def _is_later(field: FieldInfo) -> bool:
    return isinstance(field.json_schema_extra, dict) and _ADDED in field.json_schema_extra
