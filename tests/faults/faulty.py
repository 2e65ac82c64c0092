"""Calls of Snakemake that are disturbed, and what must be the same after them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from harness import Outcome

LIMIT = 600.0
"""Seconds after which waiting is a failure, on the slowest and busiest machine."""

# Names that hold times: everything else of results/ is the same bytes whenever it is made.
UNCOMPARED = re.compile(r"results/(?:logs|benchmarks)/.*|.*/timing\.json|.*/\.snakemake_timestamp")
# And these cells of the page: what training took, in all and by run.
_SECONDS = re.compile(
    rb"<td>[^<]* in training and evaluation"
    rb'|(?<=</td>)<td class="n">[\d.]+</td></tr>(?=\n<tr><th scope="row"><code>[0-9a-f]{16}<|\n</tbody>)'
)
_SCRIPT = re.compile(rb"\.snakemake/scripts/tmp\w+\.(\w+)\.py")


def wait_for(ready: Callable[[], object], limit: float = LIMIT) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + limit
    while not ready():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


class Call:
    """A plain call of Snakemake in a process group of its own."""

    def __init__(self, project: Path, *arguments: str, env: Mapping[str, str] | None = None):
        self.project = project
        self._output = TemporaryFile("w+")  # noqa: SIM115 (closed by finish or with the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
            cwd=project,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
        self.pid = self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the workflow's own process has ended."""
        return self._process.poll() is not None

    @property
    def returncode(self) -> int | None:
        """Of the workflow's own process; ``None`` while it runs."""
        return self._process.poll()

    def kill(self, whole_group: bool = False) -> bool:
        """SIGKILL; whether it hit the workflow alive."""
        if self.ended:
            return False
        if whole_group:
            os.killpg(self.pid, signal.SIGKILL)
        else:
            os.kill(self.pid, signal.SIGKILL)
        return self._process.wait(60) == -signal.SIGKILL

    def finish(self, limit: float = LIMIT) -> Outcome:
        """Wait for the end."""
        try:
            self._process.wait(limit)
        finally:
            self.stop()
        self._output.seek(0)
        said = self._output.read()
        self._output.close()
        return Outcome(self._process.returncode, said, ())

    def stop(self) -> None:
        """End what is left of the process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(60)


@contextmanager
def calling(project: Path, *arguments: str) -> Iterator[Call]:
    """A call that does not outlive the block."""
    call = Call(project, *arguments)
    try:
        yield call
    finally:
        call.stop()


def call_plainly(project: Path, *arguments: str) -> Outcome:
    """A plain call to its end."""
    return Call(project, *arguments).finish()


def scripts(project: Path) -> dict[int, str]:
    """Process id -> rule of each script that runs in a project."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            inside = (process / "cwd").readlink() == project
        except OSError:
            continue
        script = _SCRIPT.search(command)
        if inside and script and b"python" in command.split(b"\0")[0]:
            found[int(process.name)] = script.group(1).decode()
    return found


def incomplete(project: Path) -> list[str]:
    """Outputs that Snakemake knows to be unfinished."""
    root = project / ".snakemake/incomplete"
    marks = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return [urlsafe_b64decode(re.sub("@|/", "", mark)).decode() for mark in marks]


def results(project: Path) -> dict[str, Path]:
    """Files of results/ that are the same whenever they are made."""
    found = {}
    for path in (project / "results").rglob("*"):
        name = path.relative_to(project).as_posix()
        if path.is_file() and not UNCOMPARED.fullmatch(name):
            found[name] = path
    return found


def content(path: Path) -> bytes:
    """Bytes of a result without what training took."""
    read = path.read_bytes()
    return _SECONDS.sub(b"", read) if path.name == "report.html" else read


def assert_nothing_is_half_written(project: Path, undisturbed: Path) -> None:
    """Every output that is not marked as unfinished is as an undisturbed run writes it."""
    expected = results(undisturbed)
    for name, path in results(project).items():
        if name.endswith(".part") or ".part/" in name:
            continue
        with suppress(FileNotFoundError):  # A job that ends may be putting it in its place.
            if content(path) != content(expected[name]):
                marked = incomplete(project)
                assert any(name == mark or name.startswith(f"{mark}/") for mark in marked), name


def assert_same_results(project: Path, undisturbed: Path) -> None:
    """Exactly the files of an undisturbed run, of the same bytes."""
    found, expected = results(project), results(undisturbed)
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    differ = [name for name, path in found.items() if content(path) != content(expected[name])]
    assert not differ, differ
    assert not incomplete(project)
    assert not [path for name in ("results", "work") for path in (project / name).rglob("*.part")]


def assert_told(outcome: Outcome, *words: str) -> None:
    """The call failed with a message of ours that has these words, and no traceback."""
    assert outcome.returncode == 1, outcome.output[-3000:]
    assert "Traceback" not in outcome.output, outcome.output[-6000:]
    told = "\n".join(line for line in outcome.output.splitlines() if line.startswith("tunescape: "))
    for word in words:
        assert word in told, outcome.output[-6000:]
