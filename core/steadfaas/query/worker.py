"""The query process: `python -m steadfaas.query.worker DATABASE …`, started by the engine.

It answers one question at a time (`frames`), and protects the engine beside it: it is nicer to
everybody, the first to go when the machine runs out of memory, cannot use more memory than its
limit, cannot write into files, and ends when the engine does, whatever it is busy with.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import queue
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from steadfaas.errors import RequestError
from steadfaas.query.frames import (
    AGAIN,
    CHUNK,
    END,
    ENOUGH,
    FRAME,
    HEAD,
    READY,
    Head,
    Question,
    frame,
)

ENGINE: Final = "steadfaas.query.engine"

_NICENESS: Final = 10
# The kernel adds this to what it reckons of us when it looks for a process to kill (-1000 to 1000).
_OOM_SCORE: Final = b"500"

Run = Callable[..., Any]


def main() -> None:
    """Serve until standard input ends."""
    options = _options()
    answers = _take_stdout()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the engine's to handle
    _step_back()
    questions = _questions(sys.stdin.buffer)
    # Before the libraries load: their allocators would else take a gigabyte at once, of which no
    # limit could tell what is used.
    os.environ["MIMALLOC_ARENA_EAGER_COMMIT"] = "0"
    run: Run = importlib.import_module(options.engine).run
    importlib.import_module("steadfaas.query.encode")
    memory = Memory(options.memory_limit)
    memory.enforce()
    worker = Worker(run, options.database, options.max_rows, memory, answers)
    with contextlib.suppress(BrokenPipeError):
        worker.say(READY)
        while True:
            worker.answer(questions.get())
    # Nobody reads any more. The thread that reads our input would not let us end in peace.
    os._exit(0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="steadfaas.query.worker")
    parser.add_argument("database", type=Path)
    parser.add_argument("--max-rows", type=int, required=True)
    parser.add_argument("--memory-limit", type=int, required=True, help="bytes for one statement")
    parser.add_argument("--engine", default=ENGINE, help="module with `run`, for tests")
    return parser.parse_args()


class Memory:
    """The memory that statements may use beyond what the process needs for itself, in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._own = _data_bytes()

    def enforce(self) -> None:
        """Let the kernel refuse what is beyond it. Where it counts no such memory: do nothing."""
        if self._own is not None:
            # What sorts and groups asks for its own limit only after it has grown, often to the
            # double; refused by the kernel before, it would crash and could not say why.
            most = self._own + self.limit * 3 // 2
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))

    def plenty(self) -> bool:
        """Whether most of it is free."""
        used = _data_bytes()
        return used is None or self._own is None or used - self._own < self.limit // 2


def _data_bytes() -> int | None:
    """What RLIMIT_DATA counts of this process; None where the system does not tell."""
    try:
        status = Path("/proc/self/statm").read_bytes()
    except OSError:
        return None
    return int(status.split()[5]) * resource.getpagesize()


class Worker:
    """Answers questions by `run`, which is the engine's."""

    def __init__(
        self, run: Run, database: Path, max_rows: int, memory: Memory, answers: BinaryIO
    ) -> None:
        self._run = run
        self._database = database
        self._max_rows = max_rows
        self._memory = memory
        self._answers = answers

    def say(self, letter: bytes, content: bytes = b"") -> None:
        """Send one frame. Blocks while nobody reads."""
        if content:
            self._answers.write(FRAME.pack(letter, len(content)))
            self._answers.write(content)
        else:
            self._answers.write(frame(letter))
        self._answers.flush()

    def answer(self, question: Question) -> None:
        """Answer to the end."""
        try:
            chunks = self._chunks(question)
            first = next(chunks)
        except RequestError as refused:
            short = isinstance(refused.__cause__, MemoryError)
            self._refuse(Head(refused.status, refused.message, out_of_memory=short))
            return
        except MemoryError as error:
            self._refuse(Head(400, str(error), out_of_memory=True))
            return
        self.say(HEAD, Head().to_bytes())
        self.say(CHUNK, first)
        for chunk in chunks:
            self.say(CHUNK, chunk)
        self._end()

    def _chunks(self, question: Question) -> Iterator[bytes]:
        from steadfaas.query.encode import encoded

        table = self._run(
            self._database,
            question.statement,
            max_rows=self._max_rows,
            memory=self._memory.limit // 2,  # the rest is for what is read and what is said
        )
        return encoded(table, question.content_type)

    def _refuse(self, head: Head) -> None:
        self.say(HEAD, head.to_bytes())
        self._end()

    def _end(self) -> None:
        # What a statement used does not all come back: a process that holds much would refuse the
        # next one too soon.
        self.say(END, AGAIN if self._memory.plenty() else ENOUGH)


# --- what it leaves to others ------------------------------------------------------------------


def _take_stdout() -> BinaryIO:
    """Standard output for the answers alone: what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _questions(lines: BinaryIO) -> queue.SimpleQueue[Question]:
    """The questions, read by a thread that ends the process at the end of its input.

    So it ends while a statement runs, too: the engine is gone then, and nobody wants the answer.
    """
    questions: queue.SimpleQueue[Question] = queue.SimpleQueue()

    def read() -> None:
        for line in lines:
            questions.put(Question.from_line(line))
        os._exit(0)

    threading.Thread(target=read, name="questions", daemon=True).start()
    return questions


def _step_back() -> None:
    """Let everybody else go first, and the kernel choose us if one must go."""
    os.nice(_NICENESS)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb", buffering=0) as score:
        score.write(_OOM_SCORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # pipes are no files


if __name__ == "__main__":
    main()
