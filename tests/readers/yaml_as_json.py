"""Prints the documents of a YAML file as one JSON list. A key that is given twice is an error."""

import json
import sys

import yaml


class Strict(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"{node.start_mark}: given twice: {', '.join(twice)}")
        return super().construct_mapping(node, deep)


# YAML 1.1 reads `on` and `off` as truth values. The services that read these files do not.
for letter in "oOyYnN":
    known = Strict.yaml_implicit_resolvers.get(letter, [])
    Strict.yaml_implicit_resolvers = {
        **Strict.yaml_implicit_resolvers,
        letter: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:bool"],
    }

with open(sys.argv[1], encoding="utf-8") as file:
    print(json.dumps(list(yaml.load_all(file, Loader=Strict))))
