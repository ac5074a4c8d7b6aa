"""What pytest leaves alone: modules of packages that are not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch_sim") else ["losiko_torch/torchsim.py"]
