"""A cluster of an operator's own certificates, made with openssl: so a test can be a member of it too."""
import os
import subprocess


class Authority:
    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.certificate, self.key = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                     "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate,
                     "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")

    @staticmethod
    def openssl(*words):
        done = subprocess.run(["openssl", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout

    def issue(self, name):
        """(certificate file, key file) of a node."""
        stem = os.path.join(self.folder, f"{self.name}-{name}")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                     "-keyout", stem + ".key", "-out", stem + ".csr")
        with open(stem + ".ext", "w") as f:
            f.write("subjectAltName=DNS:*\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=critical,digitalSignature\n"
                    "basicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        self.openssl("x509", "-req", "-in", stem + ".csr", "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                     "-days", "2", "-out", stem + ".pem", "-extfile", stem + ".ext")
        os.chmod(stem + ".key", 0o600)
        return stem + ".pem", stem + ".key"

    def section(self, name, listen, peers):
        """The [cluster] section of a node."""
        certificate, key = self.issue(name)
        listed = ", ".join(f'"{peer}"' for peer in peers)
        return (f'[cluster]\nca_file = "{self.certificate}"\ncert_file = "{certificate}"\nkey_file = "{key}"\n'
                f'listen = ["{listen}"]\npeers = [{listed}]\ndht = false\n')
