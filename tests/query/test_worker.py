"""The query process, over its own pipes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steadfaas.query.frames import AGAIN, CHUNK, END, ENOUGH, FRAME, HEAD, READY, Head, Question
from steadfaas.query.worker import Memory
from tests.house.checkout import ROOT

pa = pytest.importorskip("pyarrow", reason="the extra 'sql' is not installed")

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a limit that only Linux has")


class Process:
    """A query process with the engine of the tests, asked in the order of the protocol."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "steadfaas.query.worker", "some.db"),
                *("--engine", "tests.query.standin", "--max-rows", "77"),
                *("--memory-limit", str(128 * 1024 * 1024), *options),
            ],
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'core'}{os.pathsep}{ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def frame(self) -> tuple[bytes, bytes]:
        """The next frame."""
        assert self.process.stdout is not None
        letter, size = FRAME.unpack(self.process.stdout.read(FRAME.size))
        return letter, self.process.stdout.read(size)

    def send(self, statement: str, content_type: str = JSON) -> None:
        """Ask, and read nothing."""
        assert self.process.stdin is not None
        self.process.stdin.write(Question(statement, content_type).to_line())
        self.process.stdin.flush()

    def ask(self, statement: str, content_type: str = JSON) -> tuple[Head, bytes, bytes]:
        """Ask; head, chunks in one, and what END says."""
        self.send(statement, content_type)
        letter, content = self.frame()
        assert letter == HEAD
        chunks = b""
        while (frame := self.frame())[0] == CHUNK:
            chunks += frame[1]
        assert frame[0] == END
        return Head.from_bytes(content), chunks, frame[1]

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """The rows of an answer in JSON."""
        head, content, _ = self.ask(statement)
        assert head == Head()
        rows: list[dict[str, Any]] = json.loads(content)["rows"]
        return rows

    def close(self) -> int:
        """End its input and wait for its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(20)


@contextlib.contextmanager
def started(*options: str) -> Iterator[Process]:
    process = Process(*options)
    with process.process:
        try:
            assert process.frame() == (READY, b"")
            yield process
        finally:
            process.process.kill()


def test_it_answers_one_question_after_the_other_until_its_input_ends() -> None:
    with started() as process:
        at = {"max_rows": 77, "at": "some.db"}
        assert process.rows("echo one") == [{"said": "one", **at}]
        assert process.rows('echo "two"\n\u2028') == [{"said": '"two"\n\u2028', **at}]
        head, stream, again = process.ask("echo three", ARROW)
        assert (head.status, again) == (200, AGAIN)
        assert pa.ipc.open_stream(stream).read_all()["said"].to_pylist() == ["three"]
        assert process.close() == 0


def test_a_refused_statement_leaves_it_ready_for_the_next() -> None:
    with started() as process:
        head, content, again = process.ask("refuse 418 not this one")
        assert head == Head(418, "not this one")
        assert (content, again) == (b"", AGAIN)
        assert process.rows("echo on")[0]["said"] == "on"


def test_what_libraries_print_is_not_taken_for_an_answer() -> None:
    with started() as process:
        assert process.rows("print nonsense") == [{"done": "print nonsense"}]
        process.close()
        assert process.process.stderr is not None
        assert process.process.stderr.read().count(b"nonsense") == 2


@linux_only
def test_memory_has_a_limit_that_does_not_count_what_the_libraries_take() -> None:
    with started() as process:
        assert process.ask("allocate 100")[0] == Head()
        head = process.ask("allocate 200")[0]
        assert head.out_of_memory
        assert process.rows("echo on")[0]["said"] == "on"


def test_a_shortage_of_memory_is_known_behind_another_error() -> None:
    with started() as process:
        head = process.ask("wrap")[0]
        assert (head.status, head.out_of_memory) == (500, True)


@linux_only
def test_it_says_when_it_holds_too_much_to_be_asked_again() -> None:
    with started() as process:
        assert process.ask("keep 30")[2] == AGAIN
        assert process.ask("keep 60")[2] == ENOUGH


@linux_only
def test_the_allocators_of_the_libraries_count_only_what_they_use() -> None:
    with started() as process:
        process.rows("rows 1000")
        status = Path(f"/proc/{process.process.pid}/status").read_text()
        (data,) = (int(line.split()[1]) for line in status.splitlines() if "VmData" in line)
        assert data < 500 * 1024


def test_it_stands_back() -> None:
    with started() as process:
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        assert process.rows("limits") == [{"nice": min(19, niceness + 10), "core": 0, "file": 0}]


@linux_only
def test_the_kernel_would_rather_end_it_than_the_engine() -> None:
    with started() as process:
        assert Path(f"/proc/{process.process.pid}/oom_score_adj").read_text() == "500\n"


def test_it_leaves_interrupts_to_the_engine() -> None:
    with started() as process:
        process.process.send_signal(signal.SIGINT)
        assert process.rows("echo still here")[0]["said"] == "still here"


def test_it_ends_with_its_input_while_a_statement_runs() -> None:
    with started() as process:
        process.send("forever")
        assert process.close() == 0


def test_it_ends_when_nobody_reads_its_answer() -> None:
    with started() as process:
        process.send("rows 1000000")
        assert process.frame()[0] == HEAD
        assert process.process.stdout is not None
        process.process.stdout.close()
        assert process.process.wait(60) == 0


def test_where_no_memory_is_counted_there_is_always_plenty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "read_bytes", _cannot)
    memory = Memory(1)
    memory.enforce()
    assert memory.plenty()


def _cannot(path: Path) -> bytes:
    raise FileNotFoundError(path)
