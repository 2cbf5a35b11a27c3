"""The former place of names that written scripts import: `kir.scripting` has them."""

import warnings

from kir.ir.types import *

warnings.warn("kir.types is gone; import its names from kir.scripting", FutureWarning, stacklevel=2)
