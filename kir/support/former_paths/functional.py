"""The former place of names that written scripts import: `kir.scripting` has them."""

import warnings

from kir.modeling.functional import *
from kir.modeling.operation import *

warnings.warn("kir.functional is gone; import its names from kir.scripting", FutureWarning, stacklevel=2)
