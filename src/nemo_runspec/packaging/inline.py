"""A script and the modules that it imports as one file.

The modules keep their source, their names and their order of import: `main.py` begins with a table
of sources and an importer that serves them. So two modules may define the same name, relative and
star imports mean what they say, and what one module has can be pickled.
"""

from __future__ import annotations

import ast
import importlib.util
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.packaging.errors import PackagingError

# What our own library imports comes with it.
DEFAULT_PACKAGES = ("nemotron", "nemo_runspec", "runspec")


@dataclass(frozen=True)
class _Module:
    source: str
    is_package: bool


def inline_imports(
    entry_path: Path,
    *,
    repo_root: Path,
    package_prefixes: tuple[str, ...] = DEFAULT_PACKAGES,
    package_prefix: str | None = None,
) -> str:
    """The script with all that it imports of some packages, wherever the imports stand.

    Args:
        entry_path: the script.
        repo_root: the repository: modules are looked for in its `src`, in itself, then where this
            Python imports them from.
        package_prefixes: the packages, or modules, whose sources are taken along.
        package_prefix: one of them alone, as older callers spell it.

    Returns:
        The text of the one file. It is the script's own where it imports nothing of them.

    Raises:
        PackagingError: the script, or a module that it imports, cannot be found or read.
    """
    prefixes = (package_prefix,) if package_prefix is not None else package_prefixes
    if "nemo_runspec" in prefixes and "runspec" not in prefixes:
        prefixes = (*prefixes, "runspec")
    text = _read(Path(entry_path))
    tree = _parse(text, Path(entry_path))
    finder = _Finder(repo_root, prefixes)
    finder.add_imports_of(tree, package="", where=Path(entry_path))
    if not finder.modules:
        return text
    lines = text.splitlines(keepends=True)
    at = _end_of_head(tree, Path(entry_path))
    head, rest = lines[:at], lines[at:]
    return "".join([*head, _importer(finder.modules), *rest])


class _Finder:
    """Collects modules, each with all that it imports."""

    def __init__(self, root: Path, prefixes: tuple[str, ...]) -> None:
        self._root = root
        self._prefixes = prefixes
        self.modules: dict[str, _Module] = {}

    def add_imports_of(self, tree: ast.Module, *, package: str, where: Path) -> None:
        for name, members in _imports(tree, package):
            if not self._is_ours(name):
                continue
            self._add(name, where)
            for member in members:
                # `from package import module`, or a name that the package has.
                if self._locate(f"{name}.{member}") is not None:
                    self._add(f"{name}.{member}", where)

    def _add(self, name: str, where: Path) -> None:
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            self._add_one(".".join(parts[:depth]), where)

    def _add_one(self, name: str, where: Path) -> None:
        if name in self.modules:
            return
        file = self._locate(name)
        if file is None:
            raise PackagingError(
                f"{where}: imports {name}, which is neither below {self._root} nor importable here"
            )
        is_package = file.is_dir() or file.name == "__init__.py"
        source = "" if file.is_dir() else _read(file)
        self.modules[name] = _Module(source, is_package)
        package = name if is_package else name.rpartition(".")[0]
        self.add_imports_of(_parse(source, file), package=package, where=file)

    def _is_ours(self, name: str) -> bool:
        return any(name == p or name.startswith(f"{p}.") for p in self._prefixes)

    def _locate(self, name: str) -> Path | None:
        parts = name.split(".")
        for folder in self._folders(parts[0]):
            base = folder.joinpath(*parts)
            for file in (base / "__init__.py", base.with_name(f"{base.name}.py"), base):
                if file.is_file() or (file == base and file.is_dir()):
                    return file
        return None

    def _folders(self, top: str) -> Iterator[Path]:
        yield self._root / "src"
        yield self._root
        spec = importlib.util.find_spec(top)
        if spec is None:
            return
        for location in spec.submodule_search_locations or []:
            yield Path(location).parent
        if spec.submodule_search_locations is None and spec.origin:
            yield Path(spec.origin).parent


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, list[str]]]:
    """What a module imports: the module's full name, and the names taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, []
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".") if node.level else []
            base = base[: len(base) - (node.level - 1)] if node.level > 1 else base
            name = ".".join([*base, *([node.module] if node.module else [])])
            if name:
                yield name, [alias.name for alias in node.names if alias.name != "*"]


def _end_of_head(tree: ast.Module, path: Path) -> int:
    """How many lines must stay first: comments before code, the docstring, `__future__` imports."""
    end = 0
    for index, node in enumerate(tree.body):
        is_docstring = (
            index == 0
            and isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        )
        is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not is_docstring and not is_future:
            if node.lineno <= end:
                raise PackagingError(f"{path}:{node.lineno}: put this statement on its own line")
            # Decorators stand before the line of what they decorate; comments may stay or go.
            return end or _first_line(node) - 1
        end = node.end_lineno or node.lineno
    return end


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _importer(modules: dict[str, _Module]) -> str:
    table = "".join(
        f"    {name!a}: ({module.is_package}, {_literal(module.source)}),\n"
        for name, module in sorted(modules.items())
    )
    return f"{_BEGIN}_EMBEDDED_MODULES = {{\n{table}}}\n{_IMPORTER}"


def _literal(source: str) -> str:
    """The source as a Python literal that people can read."""
    lines: Iterable[str] = source.splitlines(keepends=True)
    pieces = "".join(f"\n        {line!a}" for line in lines)
    return f"({pieces})" if pieces else '""'


def _read(path: Path) -> str:
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise PackagingError(f"{path}: cannot be read: {error}") from error


def _parse(source: str, path: Path) -> ast.Module:
    try:
        return ast.parse(source, str(path))
    except SyntaxError as error:
        raise PackagingError(f"{path}:{error.lineno}: {error.msg}") from error


_BEGIN = "\n# The modules that come with this script, and what imports them.\n"
_IMPORTER = """

def _serve_embedded_modules():
    import importlib.abc
    import importlib.util
    import os
    import sys

    root = os.path.dirname(os.path.abspath(__file__))

    class Embedded(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
        def find_spec(self, name, path=None, target=None):
            if name not in _EMBEDDED_MODULES:
                return None
            is_package = _EMBEDDED_MODULES[name][0]
            parts = name.split(".") + (["__init__"] if is_package else [])
            origin = os.path.join(root, "src", *parts) + ".py"
            spec = importlib.util.spec_from_loader(
                name, self, origin=origin, is_package=is_package
            )
            spec.has_location = True
            if is_package:
                spec.submodule_search_locations = [os.path.dirname(origin)]
            return spec

        def is_package(self, name):
            return _EMBEDDED_MODULES[name][0]

        def get_source(self, name):
            return _EMBEDDED_MODULES[name][1]

        def get_code(self, name):
            return self.source_to_code(self.get_source(name), sys.modules[name].__file__
                                       if name in sys.modules else name)

    sys.meta_path.insert(0, Embedded())
    if sys.excepthook is sys.__excepthook__:
        # The built-in one shows lines of files alone, and these are in none.
        def show(kind, error, tb):
            import traceback

            traceback.print_exception(kind, error, tb)

        sys.excepthook = show


_serve_embedded_modules()
# The script.
"""
