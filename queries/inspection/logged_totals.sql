-- id: logged_totals
-- title: Numbers of interfaces and rules, and all local addresses
-- params: none
-- columns: interface_count, rule_count, locals (ip, tuples)
-- order: one row
SELECT
    pass['interface_count'] AS interface_count, pass['rule_count'] AS rule_count, pass['locals'] AS locals
FROM logged
