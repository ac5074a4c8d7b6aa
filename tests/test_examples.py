"""The examples run, in a small size."""

import importlib.util
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).parent.parent / "examples"


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_learned_embedding(capsys):
    means = loaded("learned_embedding").main(rounds=120, n_tests=2)
    assert list(means) == ["start", "symmetry functions", "embedding"]
    for rmsd, bonds in means.values():
        assert 0 < rmsd < 1
        assert 0 < bonds < 0.3
    assert means["symmetry functions"][1] < means["start"][1]
    assert means["embedding"][1] < means["start"][1]
    assert np.isfinite(list(means.values())).all()
    assert "2 unseen molecules" in capsys.readouterr().out
