"""Networks that methods are built from."""

from unbraid.nets.codebook import Codebook
from unbraid.nets.conv import ConvDecoder, ConvEncoder, initialise_like_slim
from unbraid.nets.discriminator import Discriminator

__all__ = ["Codebook", "ConvDecoder", "ConvEncoder", "Discriminator", "initialise_like_slim"]
