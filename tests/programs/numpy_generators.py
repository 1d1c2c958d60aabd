"""Has made numpy's generators of random numbers before its freeze point."""

import json
import sys

import numpy
from numpy.random import RandomState

from nativecgi.frozen.freezepoint import reach

numpy.random.seed()  # in the old way, of which numpy keeps no seed
old, put_back = RandomState(), RandomState()
old.seed(None)
old.standard_normal()
state = put_back.get_state()
put_back.seed(7)
put_back.set_state(state)
drawn = (numpy.random, numpy.random.default_rng(), old, put_back)
given = (
    *(numpy.random.default_rng(7), RandomState(7), RandomState([7, 8])),
    RandomState(numpy.random.MT19937(7)),
)
set_to = RandomState()
set_to.set_state(RandomState(7).get_state())
bits = numpy.random.Philox()

if __name__ == "__main__":
    # Of two normal numbers that are made at once the second is kept for whoever asks next.
    reach(lambda: numpy.random.standard_normal)
    own = [float(numpy.random.standard_normal()), float(old.standard_normal())]
    own.append(int(bits.random_raw()))
    own += [float(generator.random()) for generator in drawn]
    constant = [float(generator.random()) for generator in (*given, set_to)]
    json.dump({"drawn": own, "given": constant}, sys.stdout)
    sys.stdout.flush()
