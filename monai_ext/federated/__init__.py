"""One training at several hospitals: images stay where they are, weights travel, and a server averages them.

What is shared and what is averaged, who agrees with whom before the first round, and the rounds themselves need no
library for federated learning; they talk through a function. :mod:`~monai_ext.federated.flare` makes NVFlare (extra
``federated``) that function: it starts processes at the sites, carries messages, and notices who is lost.
"""
