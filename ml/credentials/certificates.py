"""Certificates that sign a sound: those of a user, or self-made ones that are labelled as such."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from melgraph.ml.errors import UserError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateBuilder

SELF_MADE = "melgraph self-made, not verified"  # the organisation in a self-made certificate
_YEAR = timedelta(days=365)
_VALIDITY = 10 * _YEAR  # a signature without a time stamp is good while its certificate is
_CLOCKS_DIFFER = timedelta(hours=1)
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_SMALLEST_RSA_BITS = 2048


@dataclass(frozen=True)
class Credential:
    """A private key and its certificates.

    Attributes:
        chain: the certificates as PEM, that of the key first, each followed by its issuer.
        key: the private key as PEM.
        algorithm: of the signatures, as C2PA calls it: `es256`.
    """

    chain: bytes
    key: bytes
    algorithm: str

    @property
    def root(self) -> bytes:
        """The last certificate of the chain, as PEM."""
        start = self.chain.rindex(b"-----BEGIN CERTIFICATE-----")
        return self.chain[start:]


def self_made_credential(now: datetime | None = None) -> Credential:
    """A new root and a leaf that it has signed, both labelled as self-made and not verified.

    C2PA refuses a certificate that has signed itself, so there are two. The key of the root is not
    returned and exists nowhere afterwards: nothing else can be signed by it.

    Args:
        now: when the certificates become valid; by default, now.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import BasicConstraints, ExtendedKeyUsage
    from cryptography.x509.oid import ExtendedKeyUsageOID

    root_key = ec.generate_private_key(ec.SECP256R1())
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    start = now or datetime.now(UTC)
    root = (
        _certificate("root", root_key, root_key, start)
        .add_extension(BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(root_key, SHA256())
    )
    leaf = (
        _certificate("signer", leaf_key, root_key, start)
        .add_extension(BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(root_key, SHA256())
    )
    return Credential(_pem(leaf) + _pem(root), _key_pem(leaf_key), "es256")


def read_credential(
    chain: bytes, key: bytes, *, chain_place: str, key_place: str, now: datetime | None = None
) -> Credential:
    """The credential of a certificate chain and a key, checked before anything is signed with it.

    Args:
        chain: the certificates as PEM, that of the key first.
        key: the private key as PEM, without a password.
        chain_place: names the certificates in messages: a path.
        key_place: names the key in messages: a path.
        now: when it is to be used; by default, now.

    Raises:
        UserError: one of them cannot be read, they do not belong together, a certificate is not
            valid now, or the key is of a kind that C2PA does not sign with.
    """
    certificates = _read_chain(chain, chain_place)
    private_key = _read_key(key, key_place)
    leaf = certificates[0]
    if leaf.public_key() != private_key.public_key():
        raise UserError(
            "the key does not fit the certificate: they are not of one pair",
            where=f"{key_place} and {chain_place} ({_name(leaf)})",
            remedy="name the key that the certificate was issued for; the certificate of the key "
            "must be the first in its file",
        )
    _check_chain(certificates, chain_place)
    for certificate in certificates:
        _check_validity(certificate, now or datetime.now(UTC), chain_place)
    algorithm = _algorithm(private_key, key_place)
    return Credential(b"".join(map(_pem, certificates)), _key_pem(private_key), algorithm)


def _certificate(name: str, key: Any, issuer_key: Any, start: datetime) -> CertificateBuilder:
    """A certificate of a public key, without what differs between root and leaf."""
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(_labelled(name))
        .issuer_name(_labelled("root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _CLOCKS_DIFFER)
        .not_valid_after(start + _VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )


def _labelled(name: str) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, SELF_MADE),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{SELF_MADE} ({name})"),
        ]
    )


def _key_usage(**allowed: bool) -> Any:
    from cryptography.x509 import KeyUsage

    usages = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return KeyUsage(**{usage: allowed.get(usage, False) for usage in usages})


def _pem(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization as to

    pem: bytes = key.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, to.NoEncryption())
    return pem


def _read_chain(pem: bytes, place: str) -> list[Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise UserError(
            "the file holds no certificate that can be read",
            where=place,
            remedy="name a PEM file: blocks between BEGIN CERTIFICATE and END CERTIFICATE, that of "
            "the key first",
        ) from None


def _read_key(pem: bytes, place: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:  # what cryptography raises for a key that needs a password
        raise UserError(
            "the key is encrypted, and melgraph asks for no password",
            where=place,
            remedy="write a copy without a password, and delete it after the export: openssl pkey "
            "-in KEY.pem -out PLAIN.pem",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(
            "the file holds no private key that can be read",
            where=place,
            remedy="name a PEM file with one block between BEGIN PRIVATE KEY and END PRIVATE KEY",
        ) from None


def _check_chain(certificates: list[Certificate], place: str) -> None:
    from cryptography.exceptions import InvalidSignature

    leaf = certificates[0]
    if leaf.issuer == leaf.subject:
        raise UserError(
            f"the certificate {_name(leaf)} has signed itself, and C2PA accepts no such signer",
            where=place,
            remedy="use a certificate that a root has signed, or leave --certificate and --key out",
        )
    for certificate, issuer in pairwise(certificates):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            raise UserError(
                f"the certificate {_name(certificate)} is not signed by the next one, "
                f"{_name(issuer)}",
                where=place,
                remedy="order the file from the certificate of the key to its root, and remove "
                "the others",
            ) from None


def _check_validity(certificate: Certificate, now: datetime, place: str) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if start <= now <= end:
        return
    state = "is not valid yet" if now < start else "has expired"
    raise UserError(
        f"the certificate {_name(certificate)} {state}: it is valid from {start:%Y-%m-%d} to "
        f"{end:%Y-%m-%d}",
        where=place,
        remedy="use a certificate that is valid today, and check the clock of this machine",
    )


def _algorithm(key: Any, place: str) -> str:
    """What C2PA calls the signatures of a key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _SMALLEST_RSA_BITS:
        return "ps256"
    raise UserError(
        "C2PA does not sign with a key of this kind",
        where=place,
        remedy="use an elliptic curve (P-256, P-384 or P-521), Ed25519, or RSA from "
        f"{_SMALLEST_RSA_BITS} bits",
    )


def _name(certificate: Certificate) -> str:
    return f"'{certificate.subject.rfc4514_string()}'"
