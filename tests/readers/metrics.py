"""Reads a textfile with the client of Prometheus, and prints its samples."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

with open(sys.argv[1]) as file:
    text = file.read()
assert text.endswith('\n')
families = list(text_string_to_metric_families(text))
names = [family.name for family in families]
assert len(set(names)) == len(names), 'the samples of a metric are not together'
samples = [(family, sample) for family in families for sample in family.samples]
keys = [(sample.name, tuple(sorted(sample.labels.items()))) for _, sample in samples]
assert len(set(keys)) == len(keys), 'a series is there twice'
assert all(family.documentation for family in families)
assert all(sample.timestamp is None for _, sample in samples)
print(json.dumps([
    {'name': sample.name, 'type': family.type, 'labels': sample.labels, 'value': sample.value}
    for family, sample in samples
]))
