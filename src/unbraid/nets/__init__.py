"""Networks that methods are built from."""

from unbraid.nets.codebook import Codebook
from unbraid.nets.conv import ConvDecoder, ConvEncoder
from unbraid.nets.discriminator import Discriminator

__all__ = ["Codebook", "ConvDecoder", "ConvEncoder", "Discriminator"]
