"""Does one row of the table of faults, in namespaces that are this process's own: NAME RESULT.

The result is the row's account as JSON, or a text that says what went wrong in a file that ends in .error.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.system.faults.bench import Bench, FailedError
from tests.system.faults.rows import ROWS


def do_row(name: str, result: Path) -> None:
    """Do it, and write its account, or what went wrong."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="posed-fault-", ignore_cleanup_errors=True) as folder:
        bench = Bench(Path(folder))
        try:
            account = bench.finish(ROWS[name](bench))
            result.write_text(json.dumps(asdict(account)), encoding="utf-8")
        except (FailedError, AssertionError, OSError, subprocess.SubprocessError) as error:
            log = bench.log() if hasattr(bench, "keeper") else ""
            text = f"{type(error).__name__}: {error}\n{log[-6000:]}"
            result.with_suffix(".error").write_text(text, encoding="utf-8")
        finally:
            bench.close()


if __name__ == "__main__":
    do_row(sys.argv[1], Path(sys.argv[2]))
