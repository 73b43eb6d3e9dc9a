"""What other packages can add, each in one place: the code of docs/examples/extensions.py and of the page."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "docs/examples/extensions.py"
PARTS = ("A weight type", "A noise model", "A training method", "A task with its metric", "A report section")
COMMANDS = """
import sys
from pathlib import Path
import extensions
from analog_samson.cli.main import main
preset = extensions.own_preset(Path("uniform_pcm.toml"))
network = ["--model", "extensions:build", "--data", "digits"]
codes = [
    main(["train", *network, "--method", "root", "--epochs", "1", "--out", "net", "--limit", "300"]),
    main(["simulate", *network, "--checkpoint", "net/checkpoint.safetensors", "--preset", "uniform_pcm.toml", "--limit",
          "60", "--task", "confident", "--instances", "2", "--times", "1s,1d", "--sigmas", "none", "--out", "run"]),
    main(["report", "run", "--table", "worst_chips"]),
]
assert not any(codes), codes
"""


def parts() -> dict[str, str]:
    """The code of each part, by its heading."""
    text = EXAMPLE.read_text()
    found = re.split(r"^# (.*?)[:.].*\n", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_each_part_takes_less_than_forty_lines():
    assert tuple(parts()) == PARTS
    for name, code in parts().items():
        lines = [line for line in code.split("def own_preset")[0].splitlines() if line.strip()]
        assert len(lines) < 40, f"{name}: {len(lines)} lines"


def test_the_page_shows_the_same_code():
    page = (ROOT / "docs/extending.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    shown = {ast.unparse(node) for block in blocks for node in definitions(block)}
    for node in definitions("\n".join(parts().values()).split("def own_preset")[0]):
        assert ast.unparse(node) in shown, node.name


def definitions(code: str) -> list[ast.ClassDef | ast.FunctionDef]:
    return [node for node in ast.parse(code).body if isinstance(node, ast.ClassDef | ast.FunctionDef)]


def test_all_of_them_are_simulated_and_reported_in_one_run(tmp_path):
    (tmp_path / "extensions.py").write_text(EXAMPLE.read_text())
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sure and right" in done.stdout
    table = done.stdout.split("Worst chips")[-1]
    assert re.search(r"\d+\.\d", table)
    page = (tmp_path / "run/report.html").read_text()
    assert "Worst chips" in page
    assert "sure and right" in page
    assert "uniform" in (tmp_path / "run/run.toml").read_text()
