"""An H100 that is not there, for which Triton compiles kernels, and launches none."""

from __future__ import annotations

from triton.backends.compiler import GPUTarget
from triton.runtime import driver


class H100:
    """Triton's driver of an H100, as far as compiling asks for it."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def pretend() -> None:
    """Let Triton find an H100, in this process for good."""
    driver.set_active(H100())
