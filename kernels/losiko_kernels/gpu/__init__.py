r"""Triton kernels for NVIDIA GPUs; the interpreter runs them on a CPU (TRITON_INTERPRET=1)."""
