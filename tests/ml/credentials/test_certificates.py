"""Certificates: self-made ones are labelled, and a pair that cannot sign is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from melgraph.ml.credentials.certificates import (
    SELF_MADE,
    Credential,
    read_credential,
    self_made_credential,
)
from melgraph.ml.errors import UserError

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def own() -> Credential:
    return self_made_credential()


def read(chain: bytes, key: bytes, now: datetime = NOW) -> Credential:
    return read_credential(chain, key, chain_place="chain.pem", key_place="key.pem", now=now)


def test_the_self_made_root_and_leaf_say_that_nobody_verified_them(own):
    leaf, root = x509.load_pem_x509_certificates(own.chain)
    for certificate in (leaf, root):
        for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
            (attribute,) = certificate.subject.get_attributes_for_oid(oid)
            assert SELF_MADE in attribute.value
    leaf.verify_directly_issued_by(root)
    assert x509.load_pem_x509_certificate(own.root) == root
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_the_key_is_that_of_the_leaf_and_not_of_the_root(own):
    leaf, root = x509.load_pem_x509_certificates(own.chain)
    public_key = serialization.load_pem_private_key(own.key, password=None).public_key()
    assert public_key == leaf.public_key()
    assert public_key != root.public_key()


def test_a_credential_is_read_as_it_was_written(own):
    assert read(own.chain, own.key) == own


def pem_of(key: object, password: bytes | None = None) -> bytes:
    encryption = (
        serialization.NoEncryption() if password is None
        else serialization.BestAvailableEncryption(password)
    )  # fmt: skip
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def certificate_of(key: object, issuer_key: object, issuer: str) -> bytes:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    is_edwards = isinstance(issuer_key, ed25519.Ed25519PrivateKey)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name("leaf"))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(issuer_key, None if is_edwards else hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def test_each_mistake_has_a_message_that_names_its_file(own):
    other = self_made_credential()
    leaf_key = serialization.load_pem_private_key(own.key, password=None)
    root_first = own.root + own.chain.removesuffix(own.root)
    own_leaf, self_signed = (
        own.chain.removesuffix(own.root),
        ec.generate_private_key(ec.SECP256R1()),
    )
    odd_key = ec.generate_private_key(ec.SECP256K1())
    for chain, key, what, where in (
        (own.chain, other.key, "does not fit", "key.pem and chain.pem"),
        (own.chain, pem_of(leaf_key, b"secret"), "encrypted", "key.pem"),
        (own.chain, b"no key", "no private key", "key.pem"),
        (b"nothing", own.key, "no certificate", "chain.pem"),
        (own.key, own.key, "no certificate", "chain.pem"),
        (root_first, own.key, "does not fit", "chain.pem"),
        (own_leaf + other.root, own.key, "not signed by the next", "chain.pem"),
        (
            certificate_of(self_signed, self_signed, "leaf"),
            pem_of(self_signed),
            "has signed itself",
            "chain.pem",
        ),
        (certificate_of(odd_key, odd_key, "root"), pem_of(odd_key), "of this kind", "key.pem"),
    ):
        with pytest.raises(UserError, match=what) as caught:
            read(chain, key)
        assert where in caught.value.where
        assert caught.value.remedy


def test_a_certificate_must_be_valid_today(own):
    with pytest.raises(UserError, match="has expired: it is valid from"):
        read(own.chain, own.key, NOW + timedelta(days=365 * 11))
    with pytest.raises(UserError, match="not valid yet"):
        read(own.chain, own.key, NOW - timedelta(days=1))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "es384"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519"),
        (rsa.generate_private_key(65537, 2048), "ps256"),
    ],
)
def test_the_algorithm_is_that_of_the_key(key, algorithm):
    issuer = ec.generate_private_key(ec.SECP256R1())
    assert read(certificate_of(key, issuer, "root"), pem_of(key)).algorithm == algorithm
