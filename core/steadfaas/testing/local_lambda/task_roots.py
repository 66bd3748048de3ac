"""Where the code of a version lies unpacked: LAMBDA_TASK_ROOT of its execution environments."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

from steadfaas.testing.local_lambda.functions import FunctionVersion


class TaskRoots:
    """Unpacks each version once, into a folder of its own."""

    def __init__(self, folder: Path, code: Callable[[FunctionVersion], bytes]) -> None:
        self._folder = folder
        self._code = code
        self._unpacked: dict[tuple[str, str], asyncio.Task[Path]] = {}

    async def of(self, version: FunctionVersion) -> Path:
        """The folder of a version."""
        key = (version.arn, version.code_sha256)
        if key not in self._unpacked:
            folder = self._folder / version.name / f"{version.version}-{len(self._unpacked)}"
            unpacking = asyncio.to_thread(_unpack, self._code(version), folder)
            self._unpacked[key] = asyncio.create_task(unpacking)
        return await asyncio.shield(self._unpacked[key])

    def forget(self) -> None:
        """Unpack everything anew from now on."""
        self._unpacked.clear()


def _unpack(packed: bytes, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(folder)
    return folder
