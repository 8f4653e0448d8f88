-- id: flow_pass
-- title: The one pass of an analysis over the flows in scope
-- params: $subnets (prefixes separated by ;, one of which must contain an end of the flow)
-- columns: pass (groups, contacts, interfaces, captures, has_all_contacts)
-- order: one row
SELECT flow_groups(
    time, src_ip, dst_ip, src_port, dst_port, protocol, direction, decision, state, packets_sent, packets_received,
    rule, acl, log_kind, mac
) AS pass
FROM coded_flows
WHERE ip_in(src_ip, $subnets) OR ip_in(dst_ip, $subnets)
