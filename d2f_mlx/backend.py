"""Which device, BLAS and compiler MLX runs on here; import this before ``mlx.core``.

On Linux the MLX wheel links the reference BLAS, whose matrix products are some 30 times slower than
OpenBLAS's. A library that is loaded with ``RTLD_GLOBAL`` before MLX takes its place, because the dynamic
linker searches the global scope first. macOS has Accelerate and needs nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_SYSTEM_BLAS = ("libopenblas.so.0", "libmkl_rt.so.3", "libmkl_rt.so.2", "libmkl_rt.so")

# scipy-openblas32 prefixes its symbols. These are the matrix products MLX calls; the integers are CBLAS enums.
_SHIM_SOURCE = """
extern "C" {
#define FORWARD(name, scalar, pointer) \\
    void scipy_##name(int, int, int, int, int, int, scalar, pointer, int, pointer, int, scalar, pointer, int); \\
    void name(int o, int ta, int tb, int m, int n, int k, scalar al, pointer a, int lda, pointer b, int ldb, \\
              scalar be, pointer c, int ldc) { \\
        scipy_##name(o, ta, tb, m, n, k, al, a, lda, b, ldb, be, c, ldc); }
FORWARD(cblas_sgemm, float, const void*)
FORWARD(cblas_dgemm, double, const void*)
FORWARD(cblas_cgemm, const void*, const void*)
}
"""


def cache_dir() -> Path:
    """Return the user's cache folder for d2f_mlx (``XDG_CACHE_HOME`` or ``~/.cache``), not yet created."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "d2f_mlx"


def _build_shim(library: Path) -> Path:
    """Compile the forwarding library once for this version of OpenBLAS; needs g++."""
    compiler = shutil.which("g++")
    if compiler is None:
        raise OSError("g++ is not installed")
    stamp = hashlib.sha256(f"{_SHIM_SOURCE}{library}{library.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    shim = cache_dir() / f"libblas-{stamp}.so"
    if not shim.exists():
        shim.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=shim.parent) as folder:
            source, built = Path(folder, "shim.cpp"), Path(folder, "shim.so")
            source.write_text(_SHIM_SOURCE)
            command = [compiler, "-shared", "-fPIC", "-O2", str(source), "-o", str(built), str(library)]
            command.append(f"-Wl,-rpath,{library.parent}")
            subprocess.run(command, check=True, capture_output=True)
            built.replace(shim)
    return shim


def _packaged_blas() -> Path:
    spec = importlib.util.find_spec("scipy_openblas32")
    if spec is None or spec.origin is None:
        raise OSError("scipy-openblas32 is not installed")
    return _build_shim(Path(spec.origin).parent / "lib" / "libscipy_openblas.so")


def load_blas() -> str:
    """Put a fast BLAS under MLX and return what it is called.

    Tries ``$D2F_BLAS`` (a library's path, ``packaged``, or ``none`` to leave MLX as it is), the system's
    OpenBLAS, MKL (the system's, then pip's), and the OpenBLAS that pip installed with this package. Where none can be
    loaded MLX's own is used, with one line on standard error. Does nothing once ``mlx.core`` is loaded.
    """
    if sys.platform != "linux":
        return "Accelerate" if sys.platform == "darwin" else "MLX's own"
    wanted = os.environ.get("D2F_BLAS", "")
    if wanted == "none":
        return "MLX's own"
    if "mlx.core" in sys.modules:
        _hint("import d2f_mlx before mlx.core: MLX has already loaded its own slow BLAS")
        return "MLX's own (mlx.core was imported first)"
    pip_mkl = sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"))
    candidates = [wanted] if wanted else [*_SYSTEM_BLAS, *map(str, pip_mkl), "packaged"]
    reason = ""
    for name in candidates:
        try:
            path = _packaged_blas() if name == "packaged" else Path(name)
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            kind = "MKL" if "mkl" in path.name else "OpenBLAS" if name in ("packaged", *_SYSTEM_BLAS) else ""
            return f"{kind} ({path.name})" if kind else path.name
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            reason = str(error)
    _hint(f"no fast BLAS for MLX ({reason}): install g++, or your system's OpenBLAS, for a large speed-up")
    return "MLX's own (slow)"


def _hint(text: str) -> None:
    print(f"d2f_mlx: {text}", file=sys.stderr)


def compiler() -> str:
    """Name what ``mx.compile`` compiles CPU kernels with; empty where it silently runs uncompiled."""
    if sys.platform == "darwin":
        return "Metal"
    return shutil.which("g++") or ""


def keep_large_blocks() -> None:
    """Have glibc keep freed blocks for the next array, rather than give each large one back to the system.

    MLX on the CPU allocates and frees with every operation. By default each large array is mapped anew and its pages
    zeroed one by one, which takes longer than the arithmetic: DIANet runs twice as fast without. At most two gibibytes
    stay with the process.

    Reference: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 2**30)
        mallopt(-1, 2**31 - 1)


BLAS = load_blas()
if sys.platform == "linux":
    keep_large_blocks()
if not compiler():
    _hint("g++ is not installed: mx.compile runs uncompiled on the CPU")

import mlx.core as mx  # noqa: E402  (the BLAS has to be loaded first)


def on_gpu() -> bool:
    """Tell whether MLX's default device is a GPU (Metal or CUDA)."""
    return mx.default_device().type == mx.DeviceType.gpu


def looked_up(table: mx.array, index: mx.array) -> mx.array:
    """Read a flat table at indices, or the columns of one at each channel's own; they must lie inside it.

    What ``mx.take`` does, five times as fast on the CPU (3 instead of 17 ns a value, mlx 0.32), bit for bit.

    Shape: (N,), any -> the index's; or (N, C), (..., C) -> the index's
    """
    return mx.take_along_axis(table, index.reshape(-1, *table.shape[1:]), axis=0).reshape(index.shape)


def gflops(size: int = 1024, repeats: int = 5) -> float:
    """Measure the speed of a float32 matrix product of ``size`` x ``size`` in GFLOP/s (best of ``repeats``)."""
    a = mx.random.normal((size, size))
    mx.eval(a @ a)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        mx.eval(a @ a)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_memory_bytes() -> int:
    """Return the memory that arrays may take: what a GPU has for them, else what the system and the cgroup leave."""
    if on_gpu():
        device = mx.device_info()
        for name in ("max_recommended_working_set_size", "memory_size", "total_memory"):
            if device.get(name):
                return int(device[name])
    free = _memory_bytes()
    with contextlib.suppress(OSError, ValueError, StopIteration):  # not Linux
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    with contextlib.suppress(OSError, ValueError, StopIteration):  # no cgroup, or one without a limit
        limit, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        files = next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
        free = min(free, limit - used + files)  # what caches files is given back when asked for
    return free


def info() -> dict[str, str]:
    """Describe this machine as MLX sees it: device, BLAS with measured speed, compiler, versions, memory."""
    packages = {name: metadata.version(name) for name in ("d2f_mlx", "mlx", "mlx-data", "numpy", "pillow")}
    return {
        "device": f"{mx.default_device()} ({platform.system()} {platform.machine()}, {os.cpu_count()} cores)",
        "memory": f"{_memory_bytes() / 2**30:.1f} GiB",
        "blas": BLAS,
        "matmul": f"{gflops():.0f} GFLOP/s (float32, 1024 x 1024)",
        "compiler": compiler() or "none: mx.compile runs uncompiled (install g++)",
        "python": platform.python_version(),
        **packages,
    }
