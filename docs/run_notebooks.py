"""Execute docs/notebooks and store their outputs: `python docs/run_notebooks.py [NAME.ipynb ...]`.

Needs `pip install 'analog-samson[docs]'`. tests/test_notebooks.py runs their code without Jupyter.
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent / "notebooks"


def execute(path: Path) -> None:
    """Run a notebook from top to bottom in an empty folder. Raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as empty:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": empty}}, record_timing=False).execute()
    language = {"name": "python", "pygments_lexer": "ipython3"}  # the version would change with each machine
    notebook.metadata = nbformat.from_dict({"kernelspec": notebook.metadata.kernelspec, "language_info": language})
    nbformat.write(notebook, path)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for name in sys.argv[1:] or sorted(path.name for path in FOLDER.glob("*.ipynb")):
        execute(FOLDER / name)
