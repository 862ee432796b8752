"""What hack/ makes once and keeps, outside the tree: in ${PLANEKEEPER_CACHE:-~/.cache/planekeeper}, named by what it is made of."""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HACK = pathlib.Path(__file__).resolve().parent.parent
FOLDER = pathlib.Path(os.environ.get("PLANEKEEPER_CACHE") or pathlib.Path.home() / ".cache/planekeeper")
NEWEST = "1.37.2"  # the release of Kubernetes that tests run unless they ask for another


def say(text):
    print(f"hack: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(path):
    """Holds the lock file `path`; another process that wants it waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kept(name, make):
    """The folder `name` of the cache. Where it is missing, `make` fills an empty one, which then gets the name at once."""
    folder = FOLDER / name
    if not folder.is_dir():
        with locked(FOLDER / f"{name}.lock"):
            if not folder.is_dir():
                partial = FOLDER / f"{name}.partial"
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                make(partial)
                partial.rename(folder)
    return folder


def key(*parts):
    """A short name for texts, and for files and folders of files by what they hold."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode() + b"\0")
            continue
        for file in filter(pathlib.Path.is_file, [part, *sorted(part.rglob("*"))]):
            digest.update(str(file.relative_to(part.parent)).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def run(command, **options):
    """Runs a command that has to succeed. What it prints is told only when it fails."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode != 0:
        words = " ".join(map(str, command))
        sys.exit(f"{words} exits with {done.returncode}:\n" + "\n".join(done.stdout.splitlines()[-10:]))
    return done.stdout


def kubernetes(version, *programs):
    """The paths of Kubernetes programs of a release, built where missing."""
    command = [HACK / "kubernetes", version, *programs]
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    return [pathlib.Path(line) for line in done.stdout.splitlines()]


def peers():
    """The folder of etcd, containerd and the others that Kubernetes runs with, built where missing."""
    done = subprocess.run([HACK / "peers"], check=True, text=True, stdout=subprocess.PIPE)
    return pathlib.Path(done.stdout.strip())
