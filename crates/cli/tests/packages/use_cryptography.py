import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID


def handler(event, context):
    box = Fernet(Fernet.generate_key())
    assert box.decrypt(box.encrypt(b"secret")) == b"secret"
    key = Ed25519PrivateKey.generate()
    signature = key.sign(b"text")
    key.public_key().verify(signature, b"text")
    try:
        key.public_key().verify(signature, b"other")
        raise AssertionError("it does not fit")
    except InvalidSignature:
        pass
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048, backend=default_backend())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example")])
    start = datetime.datetime(2024, 1, 1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(rsa_key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=9))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("example")]), critical=False)
    certificate = builder.sign(rsa_key, hashes.SHA256(), default_backend())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    assert x509.load_pem_x509_certificate(pem, default_backend()).subject == name
    assert pkcs12.serialize_key_and_certificates(b"n", rsa_key, certificate, None, serialization.NoEncryption())
    sealed = rsa_key.public_key().encrypt(b"x", padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    assert rsa_key.decrypt(sealed, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)) == b"x"
    assert AESGCM(b"k" * 16).encrypt(b"n" * 12, b"x", None)
    assert ec.generate_private_key(ec.SECP256R1(), default_backend()).sign(b"x", ec.ECDSA(hashes.SHA256()))
    assert len(PBKDF2HMAC(hashes.SHA256(), 32, b"s", 1000, default_backend()).derive(b"p")) == 32
    form = serialization.PrivateFormat.PKCS8
    assert b"PRIVATE KEY" in key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
