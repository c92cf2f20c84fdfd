"""Certificates for tests of TLS, made by openssl."""

import subprocess
from pathlib import Path


def make_certificates(folder, signed=None, names="DNS:localhost,IP:127.0.0.1") -> Path:
    """signed: whose certificate → which authority signed it. Writes AUTHORITY.pem, and NAME.pem with NAME.key, good for
    `names` (a subjectAltName)."""
    signed = signed or {"server": "ca", "client": "ca"}
    folder = Path(folder)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    (folder / "names").write_text(f"subjectAltName={names}\n")
    new_key = ("-newkey", "rsa:2048", "-nodes")
    for ca in sorted(set(signed.values())):
        openssl("req", "-x509", *new_key, "-days", "3650", "-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    for who, ca in signed.items():
        openssl("req", *new_key, "-subj", f"/CN={who}", "-keyout", f"{who}.key", "-out", f"{who}.csr")
        openssl("x509", "-req", "-in", f"{who}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
                "-days", "3650", "-extfile", "names", "-out", f"{who}.pem")  # fmt: skip
    return folder
