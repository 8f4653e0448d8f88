"""Reads JUnit files with two parsers of others, and prints for each file the counts that they find."""

import sys
import xml.etree.ElementTree as tree

from junitparser import Error, Failure, JUnitXml, Skipped

for path in sys.argv[1:]:
    cases = tree.parse(path).getroot().findall('testsuite/testcase')
    names = [(case.get('classname'), case.get('name')) for case in cases]
    assert len(set(names)) == len(names), 'two cases with one name'
    counts = [len(cases)] + [sum(case.find(kind) is not None for case in cases) for kind in ('failure', 'error', 'skipped')]
    suites = JUnitXml.fromfile(path)
    assert [suites.tests, suites.failures, suites.errors, suites.skipped] == counts, path
    for suite in suites:
        results = [result for case in suite for result in case.result]
        kinds = [sum(isinstance(result, kind) for result in results) for kind in (Failure, Error, Skipped)]
        assert [suite.failures, suite.errors, suite.skipped] == kinds, (path, suite.name)
    print(*counts)
