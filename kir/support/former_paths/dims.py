"""The former place of names that written scripts import: `kir.scripting` has them."""

import warnings

from kir.ir.dim_parser import parse_dim as parse_dim
from kir.ir.dims import *

warnings.warn("kir.dims is gone; import its names from kir.scripting", FutureWarning, stacklevel=2)
