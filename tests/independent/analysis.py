"""The whole of `flowgap analyze`, in the order of the contract: read, scope, classify, mode, findings, coverage."""
import coverage as cover
import scope as scopes
from classify import classify
from course import Facts
from findings import Groups, apply_caps, dependency_findings, mark_what_follows_dns, ordered
from flows import DAY, moment_of, read
from table import rows_of
from tags import DEFAULT_VNET, TagFile, TagTest
from unanswered import unanswered_findings
from unlisted import Unmatched, unlisted_findings

NEWEST = '2026-04-30'


class Analysis:
    def __init__(self, sources, options):
        """`options`: subnet, vnet (lists), vnet_mode, edition, service_tags, service_tags_date, from, to."""
        window = tuple(moment_of(options[name]) if options.get(name) else None for name in ('from', 'to'))
        self.logs = read(sources, window)
        edition = options.get('edition') or NEWEST
        self.rows = rows_of(edition, options.get('vnet_mode'))
        path = options.get('service_tags')
        file = TagFile(path, options.get('service_tags_date')) if path else None
        self.last_flow = last_flow = max((flow.time for flow in self.logs.flows), default=None)
        is_foreign = file and file.cloud and self.logs.clouds and file.cloud not in self.logs.clouds
        if options.get('subnet'):
            self.scope = scopes.given(options['subnet'])
        else:
            self.scope = scopes.inferred(self.logs, self.rows, None if is_foreign else file)
        self.tags = TagTest(self.scope.holds, options.get('vnet') or DEFAULT_VNET, file, last_flow, self.logs.clouds)

        memory = {}
        found = (classify(flow, self.scope, self.rows, self.tags, memory) for flow in self.logs.flows)
        self.classified = [flow for flow in found if flow is not None]
        self.mode = scopes.mode_of(options.get('vnet_mode'), self.classified, self.rows, self.tags.is_internet)
        self.facts = Facts(self.classified, self.logs)

        groups = Groups(self.classified, self.facts)
        findings = dependency_findings(groups, self.facts, self.tags, self.mode)
        findings += unanswered_findings(self.classified, groups, self.facts, self.mode)
        self.coverage = self.coverage_of(findings)
        self.unmatched = Unmatched(self.classified, rows_of(edition), self.tags, self.facts)
        findings += unlisted_findings(self.unmatched, self.rows, self.facts, self.tags, self.verdict_of)
        self.coverage = self.coverage_of(findings)
        apply_caps(findings, self.mode, self.scope)
        mark_what_follows_dns(findings)
        self.findings = ordered(findings)
        self.causes = cover.causes_of(self.findings)
        self.needs = cover.needs_of(self.coverage, self.mode)
        self.exit, self.is_in_doubt = cover.exit_status(self, options)
        self.word = cover.word_of(self)

    def coverage_of(self, findings):
        return cover.coverage_of(self.classified, self.rows, self.scope.subnets, findings, self.facts)

    def verdict_of(self, requirement, subnet):
        return self.coverage[(requirement, subnet)].verdict

    def is_newly_recovered(self, finding):
        """Recovered within 24 hours. What is info counts for no word; denials alone have a time."""
        if finding.state != 'recovered' or finding.severity == 'info' or finding.last_denied is None:
            return False
        return self.last_flow - finding.last_denied <= DAY
