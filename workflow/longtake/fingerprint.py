"""Short texts that stand for long ones, by which Snakemake sees that a job is outdated.

Snakemake reruns a job when its script changes, but it does not see the library behind the script. Each rule
therefore carries ``params: code=digest("longtake.annotate.window")``, which changes when the module or anything
of longtake that it can reach changes, and with nothing else. `Digested` is for params that are long themselves.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent


@cache
def digest(*modules: str) -> str:
    """Return a digest of the syntax of `modules` and of their first-party imports, however deep.

    Comments, docstrings and layout do not count: they change no result.
    """
    total = hashlib.sha256()
    for name in sorted(_reach(modules)):
        total.update(f"{name} {_read(_file(name))[1]}\n".encode())
    return total.hexdigest()[:16]


class Digested(list[Any]):
    """A list of plain values whose text is a digest of them; a script gets it as a plain list.

    Snakemake keeps the text of every param in a file for each output, and reads it again whenever it looks what is
    outdated. Fifty prompts are 18 kB, once for every window of their video.
    """

    def __repr__(self) -> str:
        text = super().__repr__()
        return f"{len(self)} values, {hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def __reduce__(self) -> tuple[type[list[Any]], tuple[tuple[Any, ...]]]:
        return list, (tuple(self),)


def _reach(modules: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [target for target in _read(_file(name))[0] if target not in found]
        if "." in name:
            waiting.append(name.rpartition(".")[0])
    return found


def _file(name: str) -> Path:
    path = ROOT.joinpath(*name.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.exists():
        raise ModuleNotFoundError(f"{name} is no module of longtake ({file} does not exist).")
    return file


# Both at once, since the syntax tree is not kept: those of all modules are 20 MB.
@cache
def _read(file: Path) -> tuple[tuple[str, ...], str]:
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    imports = tuple(sorted(set(_first_party(tree))))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return imports, hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _first_party(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "longtake")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "longtake":
            module = node.module or ""
            yield module
            for alias in node.names:
                child = ROOT.joinpath(*module.split(".")[1:], alias.name)
                if child.is_dir() or child.with_suffix(".py").exists():
                    yield f"{module}.{alias.name}"


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Give each name one that a file can have: what is no letter, digit, dash or dot becomes an underscore.

    So does a dot or dash at the beginning, by which a file is hidden or taken for an option. Names that would become
    the same ("cod one", "cod_one"), on some disks also in other letter case, get the beginning of their digests, each
    its own.
    """
    plain = {
        name: re.sub(r"^[-.]|^$", "_", "".join(sign if sign.isalnum() or sign in "-." else "_" for sign in name))
        for name in names
    }
    counted = Counter(file.casefold() for file in plain.values())
    return {
        name: file if counted[file.casefold()] == 1 else f"{file}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        for name, file in plain.items()
    }
