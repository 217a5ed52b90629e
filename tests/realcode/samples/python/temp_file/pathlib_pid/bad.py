import os
import tempfile
from pathlib import Path


def lock():
    path = Path(tempfile.gettempdir()) / f"worker-{os.getpid()}.lock"
    path.write_text("locked")
    return path
