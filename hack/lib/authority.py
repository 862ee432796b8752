"""A certificate authority that somebody keeps elsewhere: its key is never on a host. It signs with openssl, for any time."""
import datetime
import subprocess

CONFIGURATION = """\
[ca]
default_ca = authority
[authority]
database = index.txt
new_certs_dir = .
default_md = sha256
policy = any
serial = serial
rand_serial = yes
copy_extensions = copy
preserve = yes
unique_subject = no
[any]
organizationName = optional
commonName = supplied
"""
EXTENSIONS = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = {usages}
authorityKeyIdentifier = keyid
"""
YEAR = datetime.timedelta(days=365)


class Authority:
    """One CA, in a folder of this machine."""

    def __init__(self, folder, name):
        folder.mkdir(parents=True)
        self.folder = folder
        (folder / "openssl.cnf").write_text(CONFIGURATION)
        (folder / "index.txt").touch()
        self.openssl("req", "-x509", *NEW_KEY, "-keyout", "ca.key", "-out", "ca.crt", "-subj", f"/CN={name}", "-days", "3650",
                     "-addext", "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign")

    @property
    def certificate(self):
        return (self.folder / "ca.crt").read_text()

    def sign(self, request, usages, begins=None, ends=None):
        """A certificate for a request, whose names it takes over; from now on and for a year, unless told otherwise."""
        now = datetime.datetime.now(datetime.timezone.utc)
        moments = [f"{moment:%Y%m%d%H%M%SZ}" for moment in (begins or now - datetime.timedelta(minutes=5), ends or now + YEAR)]
        (self.folder / "request.csr").write_text(request)
        (self.folder / "extensions.cnf").write_text(EXTENSIONS.format(usages=usages))
        self.openssl("ca", "-batch", "-notext", "-config", "openssl.cnf", "-cert", "ca.crt", "-keyfile", "ca.key",
                     "-startdate", moments[0], "-enddate", moments[1], "-extfile", "extensions.cnf", "-in", "request.csr", "-out", "signed.crt")
        return (self.folder / "signed.crt").read_text()

    def issue(self, name, usages, names=None):
        """A certificate and its key: `names` as openssl's subjectAltName has them."""
        more = ["-addext", f"subjectAltName={names}"] if names else []
        self.openssl("req", *NEW_KEY, "-keyout", "issued.key", "-out", "issued.csr", "-subj", f"/CN={name}", *more)
        return self.sign((self.folder / "issued.csr").read_text(), usages), (self.folder / "issued.key").read_text()

    def openssl(self, *words):
        done = subprocess.run(["openssl", *words], cwd=self.folder, text=True, capture_output=True)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {' '.join(words)}: {done.stderr.strip()}")


NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
