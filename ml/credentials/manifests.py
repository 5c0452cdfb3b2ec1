"""Signed manifests (C2PA) in wav, FLAC and mp3 files: write one, and verify one.

Nothing here uses the network: no time stamp, no trust list, no revocation list, and no manifest
that is kept elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from melgraph.ml.credentials.certificates import Credential
from melgraph.ml.errors import UserError

if TYPE_CHECKING:
    from c2pa import Context

PROVENANCE = "org.melgraph.provenance"  # the label of our own assertion
MIME_TYPES = {"flac": "audio/flac", "wav": "audio/wav", "mp3": "audio/mpeg"}
_OFFLINE: Mapping[str, Any] = {
    "core": {"allowed_network_hosts": []},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
# What c2pa reports -> the same for people. Other reports are shown as they are.
_SENTENCES = {
    "assertion.dataHash.mismatch": "the bytes of the file are not those that were signed",
    "assertion.hashedURI.mismatch": "a statement in the manifest is not the one that was signed",
    "claimSignature.mismatch": "the manifest is not the one that was signed",
    "claimSignature.outsideValidity": "the certificate was not valid when it signed",
    "signingCredential.expired": "the certificate has expired",
}
_SIGNATURE, _CBOR = b"c2pa.signature\0", b"cbor"  # the label of the signature's box, and its kind
_PADDING = b"\x63pad"  # the key, in CBOR, of what fills the space that was reserved for a signature
_BYTE_STRINGS = {b"\x58": 1, b"\x59": 2, b"\x5a": 4}  # CBOR: the bytes of the length
_UNTRUSTED = (
    "signingCredential.untrusted"  # of a good signature by a signer whom nobody vouches for
)


@dataclass(frozen=True)
class Ingredient:
    """A recording that a sound was made from. Its file is not embedded.

    Attributes:
        title: its name.
        sha256: of its file.
        is_guide: whether it only guided the edit of another recording.
    """

    title: str
    sha256: str
    is_guide: bool = False


@dataclass(frozen=True)
class Statement:
    """What a manifest says about a sound.

    Attributes:
        title: of the sound.
        version: of melgraph, which made it.
        source_type: the URI of IPTC's term for how the sound came to be.
        method: the generation method.
        is_composed: whether the sound is new, and not an edit of a recording.
        ingredients: the recordings that it was made from.
        provenance: the content of our own assertion, ready for JSON.
    """

    title: str
    version: str
    source_type: str
    method: str
    is_composed: bool
    ingredients: Sequence[Ingredient]
    provenance: Mapping[str, Any]

    def to_json(self, mime_type: str) -> dict[str, Any]:
        """The manifest, as c2pa expects it."""
        agent = {"name": "melgraph", "version": self.version}
        return {
            "claim_generator_info": [agent],
            "title": self.title,
            "format": mime_type,
            "ingredients": [
                self._ingredient(number, one) for number, one in enumerate(self.ingredients)
            ],
            "assertions": [
                {"label": "c2pa.actions.v2", "created": True, "data": {"actions": self._actions()}},
                {"label": PROVENANCE, "created": True, "data": dict(self.provenance)},
            ],
        }

    def _ingredient(self, number: int, ingredient: Ingredient) -> dict[str, Any]:
        return {
            "title": ingredient.title,
            "instance_id": f"sha256:{ingredient.sha256}",
            "relationship": "parentOf" if self._is_opened(ingredient) else "inputTo",
            "label": _label(number),
        }

    def _is_opened(self, ingredient: Ingredient) -> bool:
        return not (self.is_composed or ingredient.is_guide)

    def _actions(self) -> list[dict[str, Any]]:
        """A recording was opened and edited, or a sound was created; guides are inputs of that."""
        labels = {
            is_opened: [
                _label(number)
                for number, one in enumerate(self.ingredients)
                if self._is_opened(one) == is_opened
            ]
            for is_opened in (True, False)
        }
        inputs = {"ingredientIds": labels[False]} if labels[False] else {}
        work: dict[str, Any] = {
            "action": "c2pa.created" if self.is_composed else "c2pa.edited",
            "digitalSourceType": self.source_type,
            "description": self.method,
            "softwareAgent": {"name": "melgraph", "version": self.version},
            **({"parameters": inputs} if inputs else {}),
        }
        if self.is_composed:
            return [work]
        return [{"action": "c2pa.opened", "parameters": {"ingredientIds": labels[True]}}, work]


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read, and whether it holds.

    Attributes:
        signer: the name and the organisation in the certificate.
        problems: why it does not hold, a sentence each; empty if it holds.
        is_anchored: whether the certificate leads to one of the given roots.
        provenance: the content of our own assertion; empty if there is none.
    """

    signer: str
    problems: tuple[str, ...]
    is_anchored: bool
    provenance: Mapping[str, Any]


def sign(sound: bytes, file_format: str, statement: Statement, credential: Credential) -> bytes:
    """A copy of a sound with a signed manifest. Each call gives other bytes.

    Args:
        sound: the file.
        file_format: `flac`, `wav` or `mp3`.
        statement: what the manifest says.
        credential: who signs.

    Raises:
        UserError: C2PA does not accept the certificate.
    """
    import c2pa

    mime_type, signed = MIME_TYPES[file_format], BytesIO()
    try:
        with (
            _context() as context,
            c2pa.Signer.from_info(
                c2pa.C2paSignerInfo(credential.algorithm, credential.chain, credential.key, None)
            ) as signer,
            c2pa.Builder.from_json(statement.to_json(mime_type), context) as builder,
        ):
            builder.sign(signer, mime_type, BytesIO(sound), signed)
    except c2pa.C2paError as error:
        raise UserError(
            f"the sound cannot be signed: {error}",
            where="the certificate and the key",
            remedy="use a certificate for signing documents (extended key usage: email protection "
            "or C2PA claim signing; key usage: digital signature), or none of your own",
        ) from None
    return signed.getvalue()


def read_manifest(sound: bytes, file_format: str, *, roots: bytes = b"") -> Manifest | None:
    """The manifest of a sound, verified; None if it has none.

    Args:
        sound: the file.
        file_format: `flac`, `wav` or `mp3`.
        roots: certificates as PEM whose signers are to be recognised.
    """
    import c2pa

    try:
        with _context(roots) as context:
            reader = c2pa.Reader.try_create(
                MIME_TYPES[file_format], BytesIO(sound), context=context
            )
            if reader is None:
                return None
            with reader:
                return _manifest(json.loads(reader.json()), has_padding=_has_padding(sound))
    except (c2pa.C2paError, KeyError) as error:  # a report without the manifest that it names
        return Manifest("(unknown)", (f"the manifest cannot be read: {error}",), False, {})


def _context(roots: bytes = b"") -> Context:
    from c2pa import Context

    trust = {"trust": {"trust_anchors": roots.decode()}} if roots else {}
    context: Context = Context.from_dict({**_OFFLINE, **trust})
    return context


def _manifest(report: Mapping[str, Any], *, has_padding: bool) -> Manifest:
    """What c2pa's report says of the active manifest."""
    active = report["manifests"][report["active_manifest"]]
    signature = active.get("signature_info") or {}
    failures = [one for one in report.get("validation_status", ()) if one["code"] != _UNTRUSTED]
    problems = list(dict.fromkeys(_sentence(one) for one in failures))
    state = report.get("validation_state")
    if state not in ("Valid", "Trusted") and not problems:
        problems = [f"the state of the manifest is {state}"]
    if not has_padding and not problems:
        problems = ["the space beside the signature does not hold the zeros that fill it"]
    stated: Any = next((o["data"] for o in active["assertions"] if o["label"] == PROVENANCE), {})
    provenance: Mapping[str, Any] = stated if isinstance(stated, Mapping) else {}
    name, organisation = (signature.get(key) or "" for key in ("common_name", "issuer"))
    signer = name if organisation in name else f"{name} ({organisation})".strip()
    return Manifest(signer or "(unknown)", tuple(problems), state == "Trusted", provenance)


def _sentence(failure: Mapping[str, Any]) -> str:
    code = failure["code"]
    return _SENTENCES.get(code) or f"{code}: {failure.get('explanation') or 'no explanation'}"


def _has_padding(sound: bytes) -> bool:
    """Whether the space that was reserved for the signature, and not used by it, holds zeros only.

    It is the one part of a manifest that no hash covers, about a kilobyte. At the end of a wav file
    a flipped byte would otherwise be missed.
    """
    signature = _signature(sound)
    start = signature.rfind(_PADDING) + len(_PADDING)
    if start < len(_PADDING):
        return True  # another program signed the copy, and reserved nothing
    head, rest = signature[start : start + 1], signature[start + 1 :]
    if head not in _BYTE_STRINGS:
        return False
    n_bytes = _BYTE_STRINGS[head]
    length = int.from_bytes(rest[:n_bytes])
    return not any(rest[n_bytes : n_bytes + length])


def _signature(sound: bytes) -> bytes:
    """The content of the box with the signature of the active manifest, the last one in a file."""
    box = sound.find(_CBOR, sound.rfind(_SIGNATURE) % len(sound))
    if box < 4:
        return b""
    return sound[box : box - 4 + int.from_bytes(sound[box - 4 : box])]


def _label(number: int) -> str:
    return f"recording-{number + 1}"
