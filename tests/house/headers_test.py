#!/usr/bin/env python3
"""Every header begins with the licence and #pragma once, and compiles alone: shown by the build where the file of its
name includes it before all else, tried here for the rest."""
import concurrent.futures
import glob
import os
import re
import shlex
import subprocess
import sys

source, compiler, flags = sys.argv[1], sys.argv[2:-1], sys.argv[-1]


def shown_by_build(header):
    name = header[:-2] + ".cpp"
    if not os.path.exists(name):
        return False
    first = re.search(r'^#include ["<](.*)[">]', open(name).read(), re.M)
    return first is not None and first[1] == os.path.relpath(header, os.path.join(source, "src"))


def check(header):
    text = open(header).read()
    if not text.startswith("// SPDX-License-Identifier: Apache-2.0\n") or "#pragma once" not in text:
        return f"{header}: no licence line or no #pragma once"
    if shown_by_build(header):
        return ""
    done = subprocess.run([*compiler, "-std=c++20", "-fsyntax-only", "-x", "c++-header", "-D_FILE_OFFSET_BITS=64",
                           '-DSWARMFS_VERSION="test"', "-I" + os.path.join(source, "src"), *shlex.split(flags), header],
                          stderr=subprocess.PIPE, text=True)
    return done.stderr if done.returncode else ""


headers = glob.glob(os.path.join(source, "src/*/*.h"))
assert len(headers) > 40
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    wrong = [answer for answer in pool.map(check, headers) if answer]
shown = sum(map(shown_by_build, headers))
assert shown < len(headers)
print("\n".join(wrong) or f"{len(headers)} headers stand alone, {shown} of them by the build")
sys.exit(1 if wrong else 0)
