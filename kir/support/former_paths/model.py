"""The former place of names that written scripts import: `kir.scripting` has them."""

import warnings

from kir.modeling.functional import *
from kir.modeling.input import *
from kir.modeling.lower import *
from kir.modeling.model import *
from kir.modeling.sequential import *

warnings.warn("kir.model is gone; import its names from kir.scripting", FutureWarning, stacklevel=2)
