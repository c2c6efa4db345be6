"""SparK: sparse and hierarchical masked modelling, its decoder and its three backends. Encoders live one room up."""
