from d2f_mlx.losses import triplet_margin

import mlx.core as mx
import numpy as np
import pytest

TRIPLET = np.random.default_rng(5).standard_normal((3, 40, 16)).astype(np.float32)


@pytest.mark.parametrize(
    ("margin", "torchs"), [(1.0, 0.962611152940501), (0.2, 0.474170720664675)]
)  # PyTorch 2.13, TripletMarginLoss, float64
def test_the_triplet_margin_loss_is_its_formula(margin, torchs):
    anchor, positive, negative = TRIPLET.astype(float)
    near, far = (np.linalg.norm(anchor - other + 1e-6, axis=-1) for other in (positive, negative))
    found = float(triplet_margin(*map(mx.array, TRIPLET), margin))
    assert found == pytest.approx(np.maximum(near - far + margin, 0).mean(), rel=1e-5)
    assert found == pytest.approx(torchs, rel=1e-5)


def test_its_gradients_are_pytorchs():
    torch = pytest.importorskip("torch", reason="a rival: comes with the extra `rivals`")
    triplet = TRIPLET.copy()
    triplet[1, 0] = triplet[0, 0]  # one anchor lies on its positive
    tensors = [torch.tensor(part, requires_grad=True) for part in triplet]
    torch.nn.TripletMarginLoss(margin=0.5)(*tensors).backward()
    gradients = mx.grad(triplet_margin, argnums=(0, 1, 2))(*map(mx.array, triplet), 0.5)
    for ours, theirs in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(np.array(ours), theirs.grad.numpy(), atol=1e-6)


def test_negatives_far_enough_away_cost_nothing():
    anchor = mx.array(TRIPLET[0])
    loss, gradient = mx.value_and_grad(triplet_margin)(anchor, anchor, anchor + 1)  # at a distance of 4
    assert float(loss) == 0
    assert not np.array(gradient).any()
    assert float(triplet_margin(anchor, anchor + 1, anchor)) == pytest.approx(5, rel=1e-4)
