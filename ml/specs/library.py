"""`library.toml`: what a home leaves out of its library."""

import tomllib
from pathlib import Path

from pydantic import Field, ValidationError, field_validator

from melgraph.ml.errors import UserError
from melgraph.ml.specs.base import TomlTable, problems_of

FILE = "library.toml"


class LibrarySpec(TomlTable):
    """The file `library.toml` beside the folders of the specifications."""

    exclude: tuple[str, ...] = Field(
        (),
        description="patterns of paths that are left out, relative to the library, as in the "
        'shell: "Podcasts", "*/Samples", "*.tmp.wav"; "*" also matches "/"',
    )

    @field_validator("exclude")
    @classmethod
    def _can_match(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse patterns that no path of a library can match."""
        for pattern in patterns:
            parts = pattern.rstrip("/").split("/")
            if pattern.startswith("/") or not all(parts) or {".", ".."} & set(parts):
                raise ValueError(
                    f"{pattern!r} matches no path: a path is relative to the library, such as "
                    "'Podcasts' or 'rock/Demos'"
                )
        return patterns


def load_library(root: Path) -> LibrarySpec:
    """The content of `library.toml` below `root`, or the defaults if there is no such file.

    Raises:
        UserError: the file cannot be used; the message has all of its problems.
    """
    path = root / FILE
    try:
        return LibrarySpec.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except FileNotFoundError:
        return LibrarySpec()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        problems = [f"not readable as TOML: {error}"]
    except ValidationError as error:
        problems = problems_of(error)
    raise UserError(
        "; ".join(problems),
        where=str(path),
        remedy='correct it, for example exclude = ["Podcasts"]',
    )
