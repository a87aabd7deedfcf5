from ._builder import AllegroModel as AllegroModel
from ._embedding import EmbeddingContext as EmbeddingContext
from ._embedding import PairEmbedding as PairEmbedding
from ._embedding import TwoBodyBesselScalarEmbed as TwoBodyBesselScalarEmbed
from ._embedding import TwoBodyScalarEmbed as TwoBodyScalarEmbed
from ._embedding import TwoBodySplineScalarEmbed as TwoBodySplineScalarEmbed
from ._presets import PresetAllegroModel as PresetAllegroModel
