"""What pytest leaves alone: modules of packages that are not installed."""

from importlib.util import find_spec

NEEDS = {
    "losiko_torch/torchsim.py": "torch_sim",
    "losiko_torch/descriptors/soap/metatensor.py": "metatensor",
}
collect_ignore = [path for path, package in NEEDS.items() if not find_spec(package)]
