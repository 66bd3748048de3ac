"""Where the code of a version lies unpacked: LAMBDA_TASK_ROOT of its execution environments."""

from __future__ import annotations

import asyncio
import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from steadfaas.testing.local_lambda.api_errors import ApiError
from steadfaas.testing.local_lambda.functions import FunctionVersion


class TaskRoots:
    """Unpacks each version once, into a folder of its own.

    No folder is used again: all files bear the same time, and Python would take what it compiled of
    a file for the next one of equal size.
    """

    def __init__(self, folder: Path, code: Callable[[FunctionVersion], bytes]) -> None:
        self._folder = folder
        self._code = code
        self._count = 0
        self._unpacked: dict[tuple[str, str], asyncio.Task[Path]] = {}

    async def of(self, version: FunctionVersion) -> Path:
        """The folder of a version. Raises ApiError for what is no zip."""
        key = (version.arn, version.code_sha256)
        if key not in self._unpacked:
            self._count += 1
            folder = self._folder / f"{self._count}-{version.name}-{version.version}"
            unpacking = asyncio.to_thread(_unpack, self._code(version), folder)
            self._unpacked[key] = asyncio.create_task(unpacking)
        return await asyncio.shield(self._unpacked[key])

    def forget(self) -> None:
        """Remove all folders. No process may use them any more."""
        self._unpacked.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


def _unpack(packed: bytes, folder: Path) -> Path:
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            archive.extractall(folder)
    except zipfile.BadZipFile as error:
        raise ApiError(
            502, "InvalidZipFileException", "Lambda could not unzip the deployment package."
        ) from error
    return folder
