-- id: flow_groups
-- title: Flows in scope, grouped
-- params: none
-- columns: group_id, direction, vantage, subnet (null while the scope is not known), local_ip (null once it is), peer_local, peer_class,
--          port, src_port, protocol, decision, state, answer,
--          rule, acl, log_kind, peer_is_internet, is_call (an answered call of a client on the Internet), hours and steps
--          (hour, tuples, first, last; a step is ten minutes), locals and peers (ip, tuples, first, last), callers (ip, local, hours)
-- order: none
--
-- The port of allowed flows, and of denied flows from the Internet, is null if no requirement names it. So the number of groups
-- does not grow with the number of flows. Peers are recorded for denied flows with a port and for unanswered connections;
-- locals for these, and for flows answered on ports that no requirement names; callers for denied flows to a port that only a
-- named Azure service must reach. Steps are recorded for allowed flows of outbound and management requirements. Groups that
-- differ only in rule, state and answer share their steps: one of these groups has them. Until the scope is known, every
-- interface counts as local, and peer_local keeps the peers that may be local, too.
WITH grouped AS (
    SELECT unnest(pass['groups']) AS g FROM flow_pass
)
SELECT
    row_number() OVER () AS group_id,
    g['direction'] AS direction,
    g['vantage'] AS vantage,
    g['subnet'] AS subnet,
    CASE WHEN g['subnet'] IS NULL THEN ip_text(g['local']) END AS local_ip,
    g['peer_local'] AS peer_local,
    g['peer_class'] AS peer_class,
    g['port'] AS port,
    g['src_port'] AS src_port,
    g['protocol'] AS protocol,
    g['decision'] AS decision,
    g['state'] AS state,
    g['answer'] AS answer,
    g['rule'] AS rule,
    g['acl'] AS acl,
    g['log_kind'] AS log_kind,
    g['peer_is_internet'] AS peer_is_internet,
    g['is_call'] AS is_call,
    g['hours'] AS hours,
    g['steps'] AS steps,
    g['locals'] AS locals,
    g['peers'] AS peers,
    g['callers'] AS callers
FROM grouped
