-- id: finding_keys
-- title: What tells each finding from others, and what its groups say together
-- params: none
-- columns: finding, candidates, direction, vantage, subnet, rule, address, acl, and see below
-- order: none
SELECT
    finding, candidates, direction, vantage, subnet, rule, address,
    min(acl) AS acl,
    min(rule_origin) AS rule_origin,
    first_value(primary_id ORDER BY certainty DESC, primary_id) AS primary_id,
    max(impact) AS impact,
    bool_or(is_external_only) AS is_external_only,
    bool_and(all_from_internet) AS all_from_internet,
    max(certainty) AS certainty,
    min(unknown_count) AS unknown_count,
    coalesce(bool_and(unknown_count = candidate_count), false) AS is_unproven,
    bool_or(is_named) AS is_named,
    bool_or(needs_correction) AS needs_correction,
    array_to_string(array_sort(array_agg(DISTINCT protocol)), '+') AS protocol,
    array_sort(array_agg(DISTINCT port) FILTER (WHERE port IS NOT NULL)) AS ports
FROM denied
GROUP BY finding, candidates, direction, vantage, subnet, lower(acl), rule, address
