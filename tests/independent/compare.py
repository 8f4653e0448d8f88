#!/usr/bin/env python3
"""Compares `flowgap analyze --format json` with the second implementation in this folder.

    python3 tests/independent/compare.py --binary PATH/flowgap ARCHIVE... [--subnet CIDR] [--vnet CIDR] [--vnet-mode M]
        [--edition ID] [--service-tags FILE] [--service-tags-date DATE] [--from T] [--to T]

Prints every difference in a line (key: program's value, ours) and exits 1, else "N findings, M coverage rows equal".
"""
import argparse
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from analysis import Analysis  # noqa: E402
from flows import text_of  # noqa: E402

EXACT_LIMIT = 32_768
PLAIN = ('kind', 'requirement', 'candidates', 'direction', 'vantage', 'subnet', 'rule', 'rule_origin', 'ports', 'protocol',
         'denied_tuples', 'denied_tuples_24h', 'allowed_24h', 'verdict', 'state', 'confidence', 'score', 'severity',
         'outside_loaded_tags', 'worked_before', 'allowed_since_first_denied', 'follows_dns', 'fingerprint', 'rank')
TIMES = ('first_denied', 'last_denied', 'last_allowed_before', 'first_allowed_after')


class NoAnswer(Exception):
    pass


class Comparison:
    def __init__(self):
        self.differences = []

    def check(self, key, theirs, ours):
        if theirs != ours:
            self.differences.append('%s: theirs %s, ours %s' % (key, show(theirs), show(ours)))


def show(value):
    return json.dumps(value, sort_keys=True, default=str)


def run_binary(binary, sources, options):
    command = [binary, 'analyze', *sources, '--format', 'json', '--no-keep', '--progress', 'never']
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value] if value else []:
            command += ['--' + name.replace('_', '-'), each]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(('FLOWGAP_', 'AZURE_'))}
    output = subprocess.run(command, capture_output=True, env=environment, check=False)
    if b'--no-keep' in output.stderr and not output.stdout:
        # A program that keeps no last analysis knows no such option.
        command.remove('--no-keep')
        output = subprocess.run(command, capture_output=True, env=environment, check=False)
    if not output.stdout:
        raise NoAnswer('%s: exit %s: %s' % (' '.join(command), output.returncode, output.stderr.decode(errors='replace')))
    return json.loads(output.stdout), output.returncode


def compare(binary, sources, options):
    """(differences, findings, coverage rows)."""
    try:
        theirs, code = run_binary(binary, sources, options)
    except NoAnswer as error:
        return ['no answer: theirs %s, ours none' % error], 0, 0
    ours = Analysis(sources, options)
    comparison = Comparison()
    check = comparison.check
    compare_input(check, theirs, ours, options)
    if sorted(theirs['scope']['subnets']) != ours.scope.subnets:
        # Everything else would differ, too, and say nothing new.
        return comparison.differences, 0, 0
    compare_findings(check, theirs['findings'], ours.findings)
    compare_coverage(check, theirs['coverage'], ours.coverage)
    compare_causes(check, theirs['causes'], ours.causes)
    compare_unmatched(check, theirs['unmatched_denied'], ours)
    check('exit status', code, ours.exit)
    if 'status' in theirs:
        check('status.exit', theirs['status']['exit'], ours.exit)
        check('status.word', theirs['status']['word'], ours.word)
        if ours.exit == 3:
            check('status.reasons are given', bool(theirs['status']['reasons']), True)
    check('needs', theirs.get('needs'), ours.needs)
    return comparison.differences, len(ours.findings), len(ours.coverage)


def compare_input(check, theirs, ours, options):
    counts, flows = theirs['input'], ours.logs.flows
    check('input.tuples', counts['tuples'], len(flows))
    check('input.denied_tuples', counts['denied_tuples'], sum(flow.denied for flow in flows))
    check('input.tuples_in_scope', counts['tuples_in_scope'], len(ours.classified))
    check('input.denied_in_scope', counts['denied_in_scope'], sum(flow.is_denied for flow in ours.classified))
    check('input.malformed_tuples', counts['malformed_tuples'], ours.logs.malformed)
    if not options.get('subnet'):
        check('scope.subnets', sorted(theirs['scope']['subnets']), ours.scope.subnets)
    check('scope.vnet_mode', theirs['scope'].get('vnet_mode'), ours.mode[0])
    check('scope.vnet_mode_origin', theirs['scope'].get('vnet_mode_origin'), ours.mode[1])


def natural_key(finding, get):
    names = ('kind', 'direction', 'vantage', 'subnet', 'rule', 'candidates', 'ports')
    return (str(get(finding, 'acl')).lower(), *(str(get(finding, name)) for name in names))


def compare_findings(check, theirs, ours):
    by_print = {finding['fingerprint']: finding for finding in theirs}
    by_key = {natural_key(finding, dict.get): finding for finding in theirs}
    left = dict(by_print)
    pairs, missing = [], []
    for rank, finding in enumerate(ours, 1):
        finding.rank = rank
        if finding.fingerprint in left:
            pairs.append((left.pop(finding.fingerprint), finding))
        else:
            missing.append(finding)
    for finding in missing:
        # A finding that differs in its fingerprint alone is shown so.
        other = by_key.get(natural_key(finding, getattr))
        if other and left.pop(other['fingerprint'], None):
            pairs.append((other, finding))
        else:
            check('finding ' + describe(vars(finding), finding.fingerprint), 'absent', 'score %s' % finding.score)
    for fingerprint, finding in left.items():
        check('finding ' + describe(finding, fingerprint), 'score %s' % finding['score'], 'absent')
    for their, our in pairs:
        compare_finding(check, their, our)


def describe(finding, fingerprint):
    parts = [str(finding[name]) for name in ('kind', 'requirement', 'direction', 'vantage', 'subnet', 'rule', 'ports')]
    return 'F-%s (%s, %s tuples)' % (fingerprint[:8], ' '.join(parts), finding['denied_tuples'])


def compare_finding(check, theirs, ours):
    name = 'finding F-%s %s %s ' % (ours.fingerprint[:8], ours.kind, ours.requirement)
    for key in PLAIN:
        check(name + key, theirs.get(key), getattr(ours, key))
    check(name + 'acl', (theirs['acl'] or '').lower(), (ours.acl or '').lower())
    for key in ('impact', 'reach'):
        value = float(getattr(ours, key))
        if theirs[key] is None or abs(theirs[key] - value) > 0.0006:
            check(name + key, theirs[key], value)
    for key in TIMES:
        check(name + key, theirs[key], text_of(getattr(ours, key)))
    if len(ours.remote_addresses) <= EXACT_LIMIT:
        check(name + 'remote_address_count', theirs['remote_address_count'], len(ours.remote_addresses))
    if 'local_address_count' in theirs:
        check(name + 'local_address_count', theirs['local_address_count'], len(ours.local_addresses))
    for key in ('sent_tuples', 'unanswered_tuples') if ours.verdict == 'unanswered' else ():
        check(name + key, theirs.get(key), getattr(ours, key))
    for key in ('local_addresses', 'remote_addresses') if ours.denied_tuples else ():
        compare_addresses(check, name + key, theirs[key], getattr(ours, key))
    hours = {entry['hour']: entry['denied_tuples'] for entry in theirs['hours'] if entry['denied_tuples']}
    newest = sorted(ours.hours.items())[-168:]
    check(name + 'hours', hours, {text_of(hour): tuples for hour, tuples in newest})


def compare_addresses(check, name, theirs, ours):
    """The ten with the most denied tuples: which of equal ones stand there is the program's choice."""
    check(name + ' counts', [entry['denied_tuples'] for entry in theirs], sorted(ours.values(), reverse=True)[:10])
    check(name, {entry['ip']: entry['denied_tuples'] for entry in theirs}, {entry['ip']: ours.get(entry['ip'], 0) for entry in theirs})


def compare_coverage(check, theirs, ours):
    by_key = {(entry['requirement'], entry['subnet']): entry for entry in theirs}
    check('coverage rows', sorted(set(by_key) - set(ours)), sorted(set(ours) - set(by_key)))
    for key in sorted(set(by_key) & set(ours)):
        name, their, our = 'coverage %s %s ' % key, by_key[key], ours[key]
        for column in ('verdict', 'denied_tuples', 'allowed_tuples'):
            check(name + column, their[column], getattr(our, column))
        for column in ('direction', 'necessity', 'source', 'destination'):
            check(name + column, their[column], getattr(our.row, column))
        for column in ('first_flow', 'last_flow', 'silent_since'):
            check(name + column, their.get(column), text_of(getattr(our, column)))


def compare_causes(check, theirs, ours):
    by_key = {}
    for entry in theirs:
        kind = entry.get('kind', 'rule')
        acl, rule = (None, None) if kind == 'no-answer' else ((entry['acl'] or '').lower(), entry['rule'])
        by_key[(kind, acl, rule, entry['subnet'])] = entry
    for key in sorted(set(by_key) | set(ours), key=str):
        name = 'cause %s ' % (key,)
        if key not in by_key or key not in ours:
            check(name, 'there' if key in by_key else 'absent', 'there' if key in ours else 'absent')
            continue
        their, our = by_key[key], ours[key]
        check(name + 'findings', sorted(their['findings']), sorted(our.findings))
        check(name + 'denied_tuples', their['denied_tuples'], our.denied_tuples)
        for column in ('first_denied', 'last_denied'):
            check(name + column, their[column], text_of(getattr(our, column)))


def compare_unmatched(check, theirs, ours):
    unmatched = ours.unmatched
    check('unmatched.inbound_internet_tuples', theirs['inbound_internet_tuples'], len(unmatched.noise))
    check('unmatched.tuples', theirs.get('tuples'), len(unmatched.listed_flows))
    check('unmatched.peers', theirs.get('peers'), len({flow.peer for flow in unmatched.listed_flows}))
    rules = unmatched.by_rule()
    entries = {(entry['direction'], entry['rule'], entry['acl'].lower()): entry for entry in theirs.get('by_rule', ())}
    check('unmatched.by_rule length', len(entries), min(len(rules), 20))
    for key, entry in entries.items():
        check('unmatched.by_rule %s' % (key,), tuple(entry[name] for name in ('ports', 'tuples', 'peers')), rules.get(key))
    ours = unmatched.listed()
    by_key = {(entry['direction'], entry['remote'], entry['port'], entry['protocol'], entry['rule'], entry['acl'].lower()): entry
              for entry in theirs['listed']}
    check('unmatched.listed length', len(theirs['listed']), min(len(ours), 100))
    check('unmatched.listed', sorted(set(by_key) - set(ours)), sorted(set(ours) - set(by_key)) if len(ours) <= 100 else [])
    for key in sorted(set(by_key) & set(ours)):
        their, our = by_key[key], ours[key]
        check('unmatched %s denied_tuples' % (key,), their['denied_tuples'], our['denied_tuples'])
        for column in ('first_denied', 'last_denied', 'last_allowed_before'):
            check('unmatched %s %s' % (key, column), their.get(column), text_of(our[column]))


def parser():
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument('--binary', required=True)
    found.add_argument('sources', nargs='+')
    for name in ('--subnet', '--vnet'):
        found.add_argument(name, action='append', default=[])
    for name in ('--vnet-mode', '--edition', '--service-tags', '--service-tags-date', '--from', '--to'):
        found.add_argument(name)
    return found


def main():
    options = vars(parser().parse_args())
    binary, sources = options.pop('binary'), options.pop('sources')
    differences, findings, rows = compare(binary, sources, options)
    for line in differences:
        print(line)
    if differences:
        raise SystemExit(1)
    print('%d findings, %d coverage rows equal' % (findings, rows))


if __name__ == '__main__':
    main()
