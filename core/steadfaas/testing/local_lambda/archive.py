"""The deployment package of a handler: a zip that is the same for the same files.

`CodeSha256` is the hash of the zip, so timestamps, order and permissions are fixed: publishing
unchanged code is then no new version, as on AWS.
"""

from __future__ import annotations

import inspect
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

# A directory, a single Python file, an imported module, or file names with their texts.
Code = str | Path | ModuleType | Mapping[str, str]

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
_READABLE: Final = 0o644 << 16
_LEFT_OUT: Final = {"__pycache__", "node_modules"}


@dataclass(frozen=True, slots=True)
class Package:
    """A zip, and what a function of it is called unless somebody says otherwise."""

    zip_file: bytes
    name: str
    handler: str


def package(code: Code) -> Package:
    """Pack the code. Raises ValueError where there is none."""
    if isinstance(code, Mapping):
        files = {name: text.encode() for name, text in code.items()}
        return _packed(files, "function", "app")
    if isinstance(code, ModuleType):
        path = _source_of(code)
        if path.name == "__init__.py":
            inner = {f"{path.parent.name}/{name}": data for name, data in _files(path.parent)}
            return _packed(inner, path.parent.name, path.parent.name)
        return _packed({path.name: path.read_bytes()}, path.stem, path.stem)
    path = Path(code).resolve()
    if path.is_dir():
        return _packed(dict(_files(path)), path.name, "app")
    if path.is_file():
        return _packed({path.name: path.read_bytes()}, path.stem, path.stem)
    raise ValueError(f"{code} is neither a directory nor a file")


def _source_of(module: ModuleType) -> Path:
    source = inspect.getsourcefile(module)
    if source is None:
        raise ValueError(f"the module {module.__name__} has no source file")
    return Path(source)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        hidden = any(part.startswith(".") or part in _LEFT_OUT for part in inner.parts)
        if path.is_file() and not hidden:
            yield inner.as_posix(), path.read_bytes()


def _packed(files: Mapping[str, bytes], name: str, module: str) -> Package:
    if not files:
        raise ValueError("there is no file to deploy")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = _READABLE
            entry.create_system = 3  # Unix, wherever it is made
            archive.writestr(entry, files[path], zipfile.ZIP_DEFLATED)
    return Package(packed.getvalue(), name, f"{module}.handler")
