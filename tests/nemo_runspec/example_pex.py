"""A small `job.pex` made by hand, and a script that uses it in every process that it starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# What Pex's own bootstrap does, as far as it matters: PEX_INTERPRETER makes it a Python that has
# its distributions on sys.path, each in a folder named as its wheel.
PEX = """\
import os, sys
assert os.environ["PEX_INTERPRETER"] == "1", os.environ
assert os.environ.get("PEX_ROOT") == os.environ.get("RUNSPEC_PEX_ROOT"), os.environ
assert "PYTHONPATH" not in os.environ
here = os.path.dirname(os.path.abspath(__file__))
deps = os.path.join(here, ".deps")
sys.path[:1] = [*(os.path.join(deps, name) for name in sorted(os.listdir(deps))), here]
assert sys.argv[1] == "-c"
exec(sys.argv[2])
"""
SCRIPT = """
    import multiprocessing, pickle, subprocess, sys
    import thing

    class Example:
        pass

    def worker(queue):
        queue.put(thing.X)

    if __name__ == "__main__":
        pickle.loads(pickle.dumps(Example()))
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        context.Process(target=worker, args=(queue,)).start()
        print(queue.get())
        print(subprocess.check_output([sys.executable, "-c", "import thing; print(thing.X)"]))
        print(subprocess.check_output(["python3", "-c", "import thing; print(thing.X)"]))
"""


def make_pex(folder: Path, text: str = PEX, packages: Mapping[str, str] = {"thing": "1.0"}) -> Path:
    """Writes a PEX as a folder.

    Args:
        folder: created.
        text: what it is when an interpreter runs it.
        packages: version of each distribution in it; the module of that name has it as `VERSION`,
            and an `X`.
    """
    for name, version in packages.items():
        package = folder / ".deps" / f"{name}-{version}-py3-none-any.whl" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"VERSION = {version!r}\nX = 42\n")
    (folder / "__main__.py").write_text(text)
    return folder
