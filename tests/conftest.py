import torch

# The tensors of the tests are small: threads cost more than they gain.
torch.set_num_threads(1)
