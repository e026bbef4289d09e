"""Opens an encrypted backup by docs/format.md alone: usage: open_sealed.py FOLDER OUT, the secret in the variable SECRET.

FOLDER is a backup's folder at a destination. Every file in it that ends in .sealed is opened, and written to OUT without
that ending; what its indexes say of objects goes to OUT/<index>.rows. Ends with 12 where the secret opens nothing, and with
13 where something isn't what was sealed.
"""

import base64
import gzip
import hmac
import json
import os
import sys
from hashlib import pbkdf2_hmac, sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Wrong(Exception):
    """Something that isn't what was sealed for its place."""


def derive(secret, salt, context):
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=context.encode()).derive(secret)


def unseal(key, context, sealed):
    try:
        return AESGCM(key).decrypt(bytes(12), sealed, context.encode())
    except InvalidTag:
        raise Wrong(context) from None


class Backup:
    """The backup in a folder, opened with a secret."""

    def __init__(self, folder, secret):
        self.folder = folder
        stored = (folder / "manifest.json").read_bytes()
        self.manifest = json.loads(stored)
        assert self.manifest["version"] == 5, self.manifest["version"]
        self.id, self.seal = self.manifest["id"], self.manifest["plan"]["seal"]
        assert self.seal["algorithm"] == "AES-256-GCM"
        self.data_key = self.find_key(secret)
        self.authenticate("manifest.json", stored)
        self.authenticate("run.json", (folder / "run.json").read_bytes())

    def key(self, context):
        """The key of a thing, and its whole context."""
        context = f"teeline-seal/1 {self.id} {context}"
        return derive(self.data_key, bytes.fromhex(self.seal["epoch"]), context), context

    def find_key(self, secret):
        for path in sorted((self.folder / "keys").iterdir()):
            document = json.loads(path.read_bytes())
            secret_bytes, salt = input_of(document["recipient"], secret)
            if secret_bytes is None:
                continue
            context = f"teeline-key/1 {self.id} {document['recipient']['kind']} {document['key']}"
            try:
                self.data_key = unseal(derive(secret_bytes, salt, context), context, base64.b64decode(document["sealed"]))
            except Wrong:
                continue
            if self.key("key-id")[0].hex() == self.seal["key"]:
                return self.data_key
        raise SystemExit(12)

    def authenticate(self, name, stored):
        body, _, rest = stored.rpartition(b',"mac":"')
        self.check_mac(name, body, rest[:64].decode())

    def check_mac(self, context, body, mac):
        expected = hmac.digest(self.key(context)[0], body, sha256).hex()
        if not hmac.compare_digest(expected, mac):
            raise Wrong(context)

    def open(self, context, sealed):
        return unseal(*self.key(context), sealed)

    def files(self):
        """Every opened file: its name without .sealed, and its bytes."""
        for attachment in self.manifest["attachments"]:
            name = attachment["file"].removesuffix(".sealed")
            yield name, self.open(f"file {name}", (self.folder / attachment["file"]).read_bytes())
        others = [self.manifest[name] for name in ("objects", "deleted", "lines", "settled") if name in self.manifest]
        for number, resource in enumerate(self.manifest["resources"] + others):
            first = 0
            for segment, entry in enumerate(resource["segments"], 1):
                is_last = segment == len(resource["segments"])
                yield from self.data_file(number, segment, first, entry, is_last)
                first += entry["chunks"]

    def data_file(self, resource, segment, first, entry, is_last):
        index = (self.folder / entry["index"]).read_bytes()
        mac = json.loads(gzip.decompress(index[-98:]))["mac"]
        self.check_mac(f"index {resource} {segment}", index[:-98], mac)
        lines = [json.loads(line) for line in gzip.decompress(index).splitlines()]
        header = lines[0]
        if header["seal"] != {"resource": resource, "segment": segment, "firstChunk": first}:
            raise Wrong(entry["index"])

        stored = (self.folder / entry["file"]).read_bytes()
        at = header.get("prologue", {"stored": 0})["stored"]
        opened, rows, parts, number = [stored[:at]], [], [], first - 1
        for line in lines[1:]:
            if "sealed" in line:
                parts.append(base64.b64decode(line["sealed"]))
                continue
            rows.append(self.rows(resource, number, parts))
            parts = []
            if "chunk" in line:
                number += 1
                end = at + line["chunk"]["stored"]
                opened.append(self.open(f"chunk {resource} {number}", stored[at:end]))
                at = end
        chunks = number + 1 - first
        more_or_last = "last" if is_last else "more"
        opened.append(self.open(f"end {resource} {segment} {first} {chunks} {more_or_last}", stored[at:]))
        yield entry["file"].removesuffix(".sealed"), b"".join(opened)
        yield entry["index"].removesuffix(".sealed") + ".rows", b"".join(rows)

    def rows(self, resource, number, parts):
        ends = ["more"] * (len(parts) - 1) + ["last"]
        opened = [self.open(f"rows {resource} {number} {part} {end}", sealed) for part, (sealed, end) in enumerate(zip(parts, ends))]
        return gzip.decompress(b"".join(opened)) if opened else b""


def input_of(recipient, secret):
    """What a recipient's key is derived from, and with which salt; None where the secret is of another kind."""
    kind = recipient["kind"]
    if secret.startswith("x25519-secret:"):
        if kind != "x25519":
            return None, None
        mine = X25519PrivateKey.from_private_bytes(base64.b64decode(secret.removeprefix("x25519-secret:")))
        if base64.b64decode(recipient["recipient"].removeprefix("x25519:")) != mine.public_key().public_bytes_raw():
            return None, None
        ephemeral = base64.b64decode(recipient["ephemeral"].removeprefix("x25519:"))
        shared = mine.exchange(X25519PublicKey.from_public_bytes(ephemeral))
        return shared, ephemeral + mine.public_key().public_bytes_raw()
    if secret.startswith(("hex:", "base64:")):
        if kind != "key":
            return None, None
        notation, _, text = secret.partition(":")
        key = bytes.fromhex(text) if notation == "hex" else base64.b64decode(text)
        return key, base64.b64decode(recipient["salt"])
    if kind != "passphrase":
        return None, None
    kdf = recipient["kdf"]
    salt, passphrase = base64.b64decode(kdf["salt"]), secret.encode()
    if kdf["algorithm"] == "pbkdf2-sha256":
        return pbkdf2_hmac("sha256", passphrase, salt, kdf["iterations"]), None
    assert kdf["algorithm"] == "argon2id", kdf
    derivation = Argon2id(salt=salt, length=32, iterations=kdf["iterations"], lanes=kdf["parallelism"], memory_cost=kdf["memoryKib"])
    return derivation.derive(passphrase), None


def main(folder, out):
    os.makedirs(out, exist_ok=True)
    try:
        for name, content in Backup(Path(folder), os.environ["SECRET"]).files():
            (Path(out) / name).write_bytes(content)
    except Wrong as error:
        print(f"not what was sealed: {error}", file=sys.stderr)
        raise SystemExit(13) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
