"""`melgraph export SOUND`: write a copy of a generated sound, signed if the user asks for it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from melgraph.pipelines.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from melgraph.assets.generation.marks.exports import ExportedSound
    from melgraph.ml.credentials.certificates import Credential
    from melgraph.storage.home import Home

SUMMARY = "Write a copy of a generated sound: flac, wav or mp3, also signed."
DESCRIPTION = """\
Write a copy of a generated sound for use outside of the home. The copy says in
its file metadata that it is synthetic, by which method, and from which
recording. With --sign it also carries a signed manifest (C2PA) that says so,
which other programs can read and verify.

Without --certificate and --key, the copy is signed with a key that the home
makes for itself at first use. It proves nobody's identity: it shows that nothing
was changed since this key signed, and only an audit with this home recognises
the key. No network is used. The sound in the home stays as it is."""
EXAMPLES = """\
examples:
  melgraph export dreams/deep-dream --number 2
  melgraph export dream.flac --format wav --to ~/Desktop
  melgraph export dreams/deep-dream --number 1 --to dream.mp3 --sign
  melgraph export dream.flac --sign --certificate chain.pem --key key.pem
  melgraph audit dream.mp3

flac and wav have the same samples as the stored sound. mp3 has 320 kbit/s, or
less at sample rates below 32 kHz. A signature holds as long as its certificate
is valid, because no time stamp is added: ten years for that of the home."""

_FORMATS = ("flac", "wav", "mp3")


def add_arguments(parser: ArgumentParser) -> None:
    """The sound, the copy and who signs it."""
    parser.add_argument(
        "sound", metavar="SOUND", help="a file of the sound, or ASSET/PARTITION[/VERSION[/FILE]]"
    )
    parser.add_argument(
        "--number",
        type=int,
        metavar="N",
        help="which sound of the artifact, from 1, if it holds several",
    )
    parser.add_argument(
        "--to",
        type=Path,
        metavar="FILE",
        help="the copy, or an existing folder for it (default: the current folder)",
    )
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        help="of the copy (default: by the suffix of --to, else flac)",
    )
    parser.add_argument(
        "--sign", action="store_true", help="add a signed manifest (C2PA, Content Credentials)"
    )
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="PEM",
        help="your certificates, that of the key first; with --sign and --key",
    )
    parser.add_argument("--key", type=Path, metavar="PEM", help="your private key")


def run(options: Namespace) -> int:
    """Write the copy and print where it is.

    Raises:
        StorageError, UserError: there is no such sound, an option is wrong, the copy exists
            already, or the key cannot sign. Nothing has been written then.
    """
    from melgraph.assets.generation.marks.exports import choose_sound
    from melgraph.pipelines.commands import audit
    from melgraph.storage.artifacts import ArtifactStore

    _check_signer(options)
    home = audit.home_of(options.sound)
    store = ArtifactStore(home)
    artifact, file = audit.find_named_artifact(store, options.sound)
    sound = choose_sound(store, artifact, file, options.number)
    file_format = _format(options)
    path = _destination(options.to, Path(sound.file).with_suffix(f".{file_format}").name)
    data = sound.copy(file_format, to_sign=options.sign)
    credential = _credential(options, home)
    if credential is not None:
        data = _signed(data, file_format, sound, credential)
    _write(path, data)
    for line in _summary(sound, path, home, is_signed=credential is not None):
        print(line)
    return 0


def _check_signer(options: Namespace) -> None:
    from melgraph.ml.errors import UserError

    named = [name for name in ("certificate", "key") if getattr(options, name) is not None]
    if named and not options.sign:
        raise UserError(
            f"--{named[0]} has no effect without --sign",
            where="melgraph export",
            remedy="add --sign, or leave --certificate and --key out",
        )
    if len(named) == 1:
        missing = "key" if named == ["certificate"] else "certificate"
        raise UserError(
            f"--{named[0]} is given without --{missing}",
            where="melgraph export",
            remedy="give both, or neither: the copy is then signed with a self-made key",
        )


def _format(options: Namespace) -> str:
    """The format of the copy, which its suffix must not contradict."""
    from melgraph.ml.errors import UserError

    named: str | None = options.format
    if options.to is None or options.to.is_dir():
        return named or _FORMATS[0]
    suffix: str = options.to.suffix.lower().removeprefix(".")
    allowed = _FORMATS if named is None else (named,)
    if suffix not in allowed:
        raise UserError(
            f"the name of the copy ends in {suffix!r}, which is not {' or '.join(allowed)}",
            where=f"--to {options.to}",
            remedy=f"let it end in {' or '.join(f'.{one}' for one in allowed)}",
        )
    return suffix


def _destination(to: Path | None, name: str) -> Path:
    """Where the copy is written: a path that does not exist yet, outside of any home."""
    from melgraph.ml.errors import UserError
    from melgraph.storage.home import enclosing_home

    path = Path(name) if to is None else to / name if to.is_dir() else to
    if path.exists() or path.is_symlink():
        raise UserError(
            "the file exists already, and melgraph overwrites nothing",
            where=str(path),
            remedy="remove it, or give another name: --to FILE",
        )
    if not path.parent.is_dir():
        raise UserError(
            "the folder of the copy does not exist",
            where=str(path.parent),
            remedy="create it, or name another one: --to FILE",
        )
    if enclosing_home(path) is not None:
        raise UserError(
            "a copy cannot be written into a home",
            where=str(path.absolute()),
            remedy="name a file elsewhere: --to FILE",
        )
    return path


def _credential(options: Namespace, home: Home) -> Credential | None:
    from melgraph.assets.generation.marks.signing import home_credential, user_credential

    if not options.sign:
        return None
    if options.certificate is not None:
        return user_credential(options.certificate, options.key)
    return home_credential(home)


def _signed(data: bytes, file_format: str, sound: ExportedSound, credential: Credential) -> bytes:
    from melgraph.assets.generation.marks.signing import statement_of
    from melgraph.ml.credentials.manifests import sign
    from melgraph.pipelines.terminal import deferred_interrupt

    with deferred_interrupt():  # c2pa calls back into Python, where an interrupt would be lost
        return sign(data, file_format, statement_of(sound), credential)


def _write(path: Path, data: bytes) -> None:
    from melgraph.storage.home import write_aside

    write_aside(path, data)


def _summary(sound: ExportedSound, path: Path, home: Home, *, is_signed: bool) -> Iterator[str]:
    """Where the copy is, what it says, and how to audit it."""
    from shlex import quote

    from melgraph.assets.generation.marks.source_types import SOURCE_TYPE_TAG

    yield f"sound:   {sound.artifact.reference}/{printable(sound.file)}"
    yield f"copy:    {printable(path)}"
    yield f"mark:    {sound.tags[SOURCE_TYPE_TAG]}"
    yield f"signed:  {'yes' if is_signed else 'no (--sign adds a signed manifest)'}"
    yield f"audit:   melgraph audit {quote(str(path))} --home {quote(str(home.root))}"
