from ._weights import convert_weights as convert_weights
