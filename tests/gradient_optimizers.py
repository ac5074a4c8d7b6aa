"""Names of the optimizers that step with gradients, a whole batch at a time."""

from losiko_torch.optimizers.interface import Optimizer
from losiko_torch.optimizers.registry import OPTIMIZERS, make_optimizer

GRADIENT_OPTIMIZERS = [name for name in OPTIMIZERS if isinstance(make_optimizer(name), Optimizer)]
