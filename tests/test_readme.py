"""The README's Python is run as it stands there, each block on its own."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs(number, tmp_path, monkeypatch):
    if "import torch_sim" in BLOCKS[number]:
        pytest.importorskip("torch_sim", reason="TorchSim is not installed (extra [torchsim])")
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[number], f"README.md, block {number}", "exec"), {"__name__": "readme"})


def test_there_are_blocks():
    assert len(BLOCKS) >= 3
