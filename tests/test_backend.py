import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from d2f_mlx import backend

import mlx.core as mx
import numpy as np
import pytest

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="macOS has Accelerate: no BLAS is chosen there")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

# An exact product of small integers, big enough for the BLAS's own kernels.
PRODUCT = """
import mlx.core as mx, numpy as np
a, b = (np.random.default_rng(seed).integers(-9, 10, (70, 70)) for seed in (0, 1))
for dtype in (mx.float32, mx.complex64):
    found = mx.array(a).astype(dtype) @ mx.array(b).astype(dtype)
    assert np.array_equal(np.array(found), a @ b), dtype
"""


def python(code, **environment):
    """Run code in a fresh interpreter; a variable set to None is taken away."""
    merged = {key: value for key, value in (os.environ | environment).items() if value is not None}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=merged)
    assert done.returncode == 0, done.stderr
    return done


def load(**environment):
    """Load the backend alone; return the BLAS's name and what was said."""
    done = python(f"from d2f_mlx import backend; print(backend.BLAS)\n{PRODUCT}", **environment)
    return done.stdout.strip(), done.stderr


@linux_only
@needs_compiler
def test_none_leaves_mlx_as_it_is():
    assert load(D2F_BLAS="none") == ("MLX's own", "")


@linux_only
@needs_compiler
def test_the_packaged_blas_is_built_once_and_multiplies(tmp_path):
    pytest.importorskip("scipy_openblas32", reason="scipy-openblas32 is not installed")
    environment = {"D2F_BLAS": "packaged", "XDG_CACHE_HOME": str(tmp_path)}
    name, said = load(**environment)
    (built,) = (tmp_path / "d2f_mlx").iterdir()
    assert re.fullmatch(r"libblas-[0-9a-f]{16}\.so", built.name)
    assert (name, said) == (f"OpenBLAS ({built.name})", "")
    before = built.stat()
    assert load(**environment) == (name, "")
    assert (built.stat().st_mtime_ns, built.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


# Answers every float32 matrix product with 42.
FAKE = """
extern "C" void cblas_sgemm(int, int, int, int m, int n, int, float, const void*, int, const void*, int, float,
                            float* c, int ldc) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) c[i * ldc + j] = 42;
}
"""


@linux_only
@needs_compiler
def test_mlx_calls_the_library_that_was_asked_for(tmp_path):
    source, library = tmp_path / "fake.cpp", tmp_path / "libfake.so"
    source.write_text(FAKE)
    subprocess.run(["g++", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    code = """
from d2f_mlx import backend
import mlx.core as mx
print(backend.BLAS, set((mx.ones((70, 50)) @ mx.ones((50, 60))).reshape(-1).tolist()))
"""
    assert python(code, D2F_BLAS=str(library)).stdout == "libfake.so {42.0}\n"


@linux_only
@needs_compiler
def test_a_library_that_is_not_there_is_told_in_a_line():
    name, said = load(D2F_BLAS="/nowhere/libfast.so")
    assert name == "MLX's own (slow)"
    assert re.fullmatch(r"d2f_mlx: no fast BLAS for MLX \(.*/nowhere/libfast\.so.*\): install .*\n", said)


@linux_only
@needs_compiler
def test_importing_mlx_first_is_told_in_a_line():
    done = python("import mlx.core; from d2f_mlx import backend; print(backend.BLAS)", D2F_BLAS=None)
    assert done.stdout == "MLX's own (mlx.core was imported first)\n"
    assert re.fullmatch(r"d2f_mlx: import d2f_mlx before mlx\.core: .*\n", done.stderr)


@linux_only
def test_a_missing_compiler_is_told_in_a_line_each(tmp_path):
    code = "from d2f_mlx import backend; print(backend.BLAS); print(backend.info()['compiler'])"
    said = python(code, PATH=str(tmp_path), D2F_BLAS="none")
    assert said.stderr == "d2f_mlx: g++ is not installed: mx.compile runs uncompiled on the CPU\n"
    assert said.stdout.splitlines()[1] == "none: mx.compile runs uncompiled (install g++)"
    said = python(code, PATH=str(tmp_path), D2F_BLAS="packaged", XDG_CACHE_HOME=str(tmp_path))
    assert said.stderr.startswith("d2f_mlx: no fast BLAS for MLX (g++ is not installed): install g++")
    assert said.stdout.startswith("MLX's own (slow)\n")
    assert list(tmp_path.iterdir()) == []


def test_import_is_light():
    """Neither mlx.data nor an extra is loaded: they cost time, or are not there."""
    extras = ["mlx.data", "OpenImageIO", "skimage", "matplotlib", "scipy", "cv2", "torch", "tqdm"]
    done = python(f"import d2f_mlx, sys; print([name for name in {extras} if name in sys.modules])")
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("xdg", "expected"), [("/somewhere", Path("/somewhere/d2f_mlx")), ("", Path.home() / ".cache" / "d2f_mlx")]
)
def test_the_cache_folder_follows_xdg(monkeypatch, xdg, expected):
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    assert backend.cache_dir() == expected


@pytest.mark.parametrize(("device", "expected"), [(mx.cpu, False), (mx.gpu, True)])
def test_on_gpu_follows_the_default_device(monkeypatch, device, expected):
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(device))
    assert backend.on_gpu() is expected


def test_gflops_counts_two_operations_for_each_product(monkeypatch):
    ticks = iter([0.0, 4.0, 10.0, 12.0, 20.0, 25.0])
    monkeypatch.setattr(backend.time, "perf_counter", lambda: next(ticks))
    assert backend.gflops(100, repeats=3) == pytest.approx(2 * 100**3 / 2.0 / 1e9)  # the best of 4, 2 and 5 s


def test_info_describes_the_machine(monkeypatch):
    monkeypatch.setattr(backend, "gflops", lambda: 123.4)
    found = backend.info()
    keys = ["device", "memory", "blas", "matmul", "compiler", "python", "d2f_mlx", "mlx", "mlx-data", "numpy", "pillow"]
    assert list(found) == keys
    assert found["matmul"] == "123 GFLOP/s (float32, 1024 x 1024)"
    assert found["mlx"] == mx.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["device"].startswith("Device(")
    assert re.fullmatch(r"\d+\.\d GiB", found["memory"])


def test_matrix_products_have_a_speed():
    assert backend.gflops(64, repeats=1) > 0


@pytest.mark.parametrize("shape", [(), (1,), (7,), (5, 4), (2, 3, 4, 3), (0, 3)])
@pytest.mark.parametrize("kind", [mx.int32, mx.uint32, mx.uint8])
def test_looked_up_reads_what_numpy_reads(shape, kind):
    rng = np.random.default_rng(0)
    values, index = rng.normal(size=200).astype(np.float32), rng.integers(0, 200, shape)
    index.flat[:2] = 199, 0
    values[[0, 199]] = np.inf, np.nan  # bit for bit, whatever they are
    for table in (values, values.view(np.int32)):
        found = backend.looked_up(mx.array(table), mx.array(index).astype(kind))
        np.testing.assert_array_equal(np.array(found), table[index], strict=True)


@pytest.mark.parametrize("shape", [(1, 3), (5, 3), (4, 6, 3)])
def test_looked_up_reads_each_channels_column(shape):
    rng = np.random.default_rng(1)
    table, index = rng.random((50, 3), np.float32), rng.integers(0, 50, shape)
    expected = np.take_along_axis(table, index.reshape(-1, 3), 0).reshape(shape)
    np.testing.assert_array_equal(np.array(backend.looked_up(mx.array(table), mx.array(index))), expected, strict=True)


def test_looked_up_reads_the_ends_inside_compiled_code():
    table = mx.arange(5).astype(mx.float32)
    read = mx.compile(lambda t, i: backend.looked_up(t, i) + backend.looked_up(t, i[::-1]))
    for last in (4, 2):
        index = mx.array([[0, last], [last, 0]])
        np.testing.assert_array_equal(np.array(read(table, index)), [[last, last], [last, last]])


FAULTS = """
import resource
from d2f_mlx.backend import mx
x = mx.ones((64, 2**20 // 4))  # 64 MiB, 16384 pages
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    mx.eval(x + 1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep large blocks")
def test_large_arrays_reuse_memory_instead_of_mapping_it_anew():
    assert int(python(FAULTS).stdout) < 1000


def test_free_memory_is_what_the_system_leaves():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = backend.free_memory_bytes()
    assert 2**20 < free <= total


def test_a_gpus_own_memory_counts_there(monkeypatch):
    monkeypatch.setattr(backend, "on_gpu", lambda: True)
    monkeypatch.setattr(backend.mx, "device_info", lambda: {"max_recommended_working_set_size": 12345678})
    assert backend.free_memory_bytes() == 12345678


def test_a_container_leaves_what_its_limit_does_and_what_caches_files(monkeypatch, tmp_path):
    monkeypatch.setattr(backend, "_CGROUP", tmp_path)
    everything = backend.free_memory_bytes()
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 300000\nactive_file 5\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert backend.free_memory_bytes() > everything / 2
    (tmp_path / "memory.max").write_text("1000000\n")
    assert backend.free_memory_bytes() == 400000
