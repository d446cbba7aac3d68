#!/usr/bin/env python3
"""Names what failed in the last run of meson test, a line each: "sanitizer:NAME" where a sanitizer reported something,
else "test:NAME".    failed_tests.py BUILD/meson-logs/testlog.json"""
import json
import re
import sys

REPORT = re.compile(r"(ERROR|WARNING|SUMMARY): \w*Sanitizer|runtime error:")


def main():
    for path in sys.argv[1:]:
        for line in open(path, encoding="utf-8"):
            test = json.loads(line)
            if test["result"] not in ("FAIL", "TIMEOUT"):
                continue
            said = (test.get("stdout") or "") + (test.get("stderr") or "")
            print("sanitizer" if REPORT.search(said) else "test", test["name"].split(" / ", 1)[-1], sep=":")


main()
