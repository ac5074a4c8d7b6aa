import torch

# The tensors of the tests are small: threads cost more than they gain.
torch.set_num_threads(1)

#: They need a process in which nothing else imported Triton: see test_kernels.py.
collect_ignore = ["kernel_checks.py", "gpu_kernel_compile.py"]
