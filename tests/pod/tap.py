# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the cases of a test program and prints TAP: each function whose name begins with case_, in the order of the file."""

import sys
import traceback


def run(module):
    cases = [(name.removeprefix("case_"), value) for name, value in vars(module).items() if name.startswith("case_")]
    n_failed = 0
    print(f"1..{len(cases)}")
    for i, (name, case) in enumerate(cases, 1):
        try:
            case()
        except Exception:
            n_failed += 1
            print(f"not ok {i} {name}")
            print("# " + traceback.format_exc().rstrip().replace("\n", "\n# "), flush=True)
        else:
            print(f"ok {i} {name}", flush=True)
    sys.exit(n_failed > 0)


def equal(value, expected, what=""):
    assert value == expected, f"{what}: is {value!r}, not {expected!r}"
