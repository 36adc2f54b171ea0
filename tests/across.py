#!/usr/bin/env python3
# across.py: numbers that two chapters compute on their own, from the quick
# ledgers: chapters check each other on the same networks.
import json
import sys

PAIRS = [
    # the largest gradient over the cells of knots, the constant of lipschitz
    ("knots/cells/random/steepest", "lipschitz/of-knots", 1e-12),
]


def value(name):
    with open("build/quick/%s.jsonl" % name.split("/")[0]) as ledger:
        for line in ledger:
            record = json.loads(line)
            if record["id"] == name:
                return float(record["value"])
    return None


def main():
    failed = False
    for number, (one, other, tolerance) in enumerate(PAIRS, 1):
        x, y = value(one), value(other)
        agree = (x is not None and y is not None and
                 abs(x - y) <= tolerance * max(abs(x), abs(y)))
        failed = failed or not agree
        print("%s %d - %s_is_%s" % ("ok" if agree else "not ok", number, one,
                                    other))
        if not agree:
            print("# found %s and %s" % (x, y))
    return failed


sys.exit(main())
