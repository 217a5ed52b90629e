import tempfile
from pathlib import Path


def lock():
    path = Path(tempfile.mkdtemp(prefix="worker-")) / "worker.lock"
    path.write_text("locked")
    return path
