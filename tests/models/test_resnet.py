from d2f_mlx.models import ResNet, ResNetConfig

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten


@pytest.mark.parametrize(("depth", "count"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018)])
def test_the_parameters_are_as_many_as_published(depth, count):
    network = ResNet(ResNetConfig(depth, 10))
    assert sum(a.size for _, a in tree_flatten(network.trainable_parameters())) == count


def test_the_logit_of_film_is_the_one_output_or_the_second_less_the_first():
    x = mx.random.uniform(-1, 1, (3, 32, 32, 3), key=mx.random.key(0))
    one, two = ResNet(ResNetConfig(20, 1)), ResNet(ResNetConfig(20, 2))
    one.eval()
    two.eval()
    np.testing.assert_array_equal(np.array(one.film_logit(x)), np.array(one(x))[:, 0])
    softmax = np.array(mx.softmax(two(x), axis=-1))[:, 1]
    np.testing.assert_allclose(np.array(mx.sigmoid(two.film_logit(x))), softmax, atol=1e-6)
    with pytest.raises(ValueError, match="1 or 2 outputs, got 3"):
        ResNet(ResNetConfig(20, 3)).film_logit(x)


@pytest.mark.parametrize("shape", [(1, 31, 40, 3), (1, 40, 31, 3), (1, 32, 32, 1), (32, 32, 3)])
def test_pictures_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="ResNet expects"):
        ResNet(ResNetConfig())(mx.zeros(shape))


@pytest.mark.parametrize(
    ("settings", "message"), [({"depth": 18}, "depth of .*, got 18"), ({"outputs": 0}, "outputs >= 1, got 0")]
)
def test_a_config_that_makes_no_network_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ResNetConfig(**settings)
