"""The former place of names that written scripts import: `kir.scripting` has them."""

import warnings

from kir.ir.graph import *

warnings.warn("kir.graph is gone; import its names from kir.scripting", FutureWarning, stacklevel=2)
