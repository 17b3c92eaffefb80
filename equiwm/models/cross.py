"""The vector-neuron predictor of degree 2."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from equiwm.config import ModelConfig
from equiwm.errors import ConfigError
from equiwm.models.step import ResidualPredictor
from equiwm.models.vector_neurons import vn_network
from equiwm.nn.layer import Sequential, to_channels_last, to_flat
from equiwm.nn.linear import VNLinear
from equiwm.nn.products import CrossProduct
from equiwm.symmetry.reps import Rep, vectors


class CrossVNPredictor(ResidualPredictor):
    """f: residual predictor with cross products, f(z, a) = z + net([z, a]) + C ((A [z, a]) x (B [z, a])).

    The torque tau x r is in the class: A picks the action, B the latent. Equivariant to SO(3) and, because of the
    products, not to reflections.

    What keeps it stable. C starts at zero, so that training starts from the predictor of degree 1 and the products
    come in as fast as they help; they are a branch beside the network, so nothing multiplies a product; there are
    no gates. Under Muon, whose steps do not shrink with the gradient, it wants the cosine schedule: at a constant
    rate it trains as stably, but the products keep wandering and the error over a rollout is several times larger.

    Latents (B, D) flat; actions (B, 3) or (B, C, 3); gives (B, D). Source: ours.

    Args:
        latent_rep: rep of the latents.
        action_rep: rep of the actions.
        widths: hidden widths of the network, in vectors.
        products: number of cross products.

    Raises:
        RepError: d is not 3, or a rep holds anything but vectors.
    """

    def __init__(self, latent_rep: Rep, action_rep: Rep, widths: Sequence[int], products: int) -> None:
        super().__init__(latent_rep, action_rep)
        joint, hidden = latent_rep + action_rep, vectors(products, latent_rep.d)
        self.network = vn_network(joint, latent_rep, widths, "real")
        mix = VNLinear(hidden, latent_rep)
        nn.init.zeros_(mix.weight)
        self.products = Sequential(CrossProduct(joint, hidden), mix)

    @classmethod
    def of(cls, config: ModelConfig, latent_rep: Rep, action_rep: Rep) -> CrossVNPredictor:
        """Predictor `vn_cross` of a configuration.

        Raises:
            ConfigError: d is not 3.
        """
        if latent_rep.d != 3:
            raise ConfigError(
                f"model.predictor: cross products need a world with d = 3; this one has d = {latent_rep.d}."
            )
        return cls(latent_rep, action_rep, config.predictor_widths, config.predictor_products)

    def change(self, latent: Tensor, action: Tensor) -> Tensor:
        x = to_channels_last(self.joined(latent, action), self.in_rep.d)
        return to_flat(self.network(x) + self.products(x))
