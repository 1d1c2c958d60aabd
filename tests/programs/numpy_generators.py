"""Has made numpy's generators of random numbers before its freeze point."""

import json
import sys

import numpy

from nativecgi.freezepoint import reach

own, given = numpy.random.default_rng(), numpy.random.default_rng(7)
bits = numpy.random.Philox()

if __name__ == "__main__":
    reach(lambda: lambda: None)
    drawn = [float(numpy.random.random()), float(own.random()), int(bits.random_raw())]
    json.dump({"drawn": drawn, "given": float(given.random())}, sys.stdout)
    sys.stdout.flush()
