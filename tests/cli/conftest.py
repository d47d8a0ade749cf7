from d2f_mlx import checkpoint
from d2f_mlx.models import Reconstructor, ReconstructorConfig

import mlx.core as mx
import pytest


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """A small untrained reconstructor on disk."""
    mx.random.seed(0)
    folder = tmp_path_factory.mktemp("network")
    checkpoint.save(folder, Reconstructor(ReconstructorConfig(width=32)))
    return str(folder)
