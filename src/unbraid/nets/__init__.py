"""Networks that methods are built from."""

from unbraid.nets.codebook import Codebook
from unbraid.nets.conv import ConvDecoder, ConvEncoder, initialise_like_slim
from unbraid.nets.discriminator import Discriminator
from unbraid.nets.selection import decode_selected

__all__ = [
    "Codebook",
    "ConvDecoder",
    "ConvEncoder",
    "Discriminator",
    "decode_selected",
    "initialise_like_slim",
]
