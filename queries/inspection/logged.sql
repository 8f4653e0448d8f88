-- id: logged
-- title: The one pass of an inspection over all flows
-- params: none
-- columns: pass (interfaces, rules, locals, signs, interface_count, rule_count)
-- order: one row
SELECT logged_flows(
    time, src_ip, dst_ip, dst_port, protocol, direction, decision, packets_received, rule, acl, mac
) AS pass
FROM coded_flows
