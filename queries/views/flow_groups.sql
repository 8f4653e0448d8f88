-- id: flow_groups
-- title: Like flows in scope, grouped
-- params: none
-- columns: group_id, direction, vantage, subnet (null while the scope is not known), local_ip (null once it is), peer_local, peer_class,
--          port, src_port, protocol, decision, state, answer,
--          rule, acl, log_kind, peer_is_internet, is_call (an answered call of a client on the Internet), hours and steps
--          (hour, tuples, first, last; a step is ten minutes), locals and peers (ip, tuples, first, last), callers (ip, local, hours)
-- order: none
--
-- Ports that no requirement names are null where nothing asks for them: of allowed flows, and of refused flows from the
-- Internet. So the number of groups does not follow the number of flows. Peers are kept of denied flows whose port is
-- kept, and of connections without an answer; locals of the same, and of flows that are answered where no requirement asks;
-- callers of denied flows to a port that only a named Azure service must
-- reach. Steps are kept of allowed flows of outbound and management requirements;
-- groups that differ in rule, state and answer alone share them, and they stand at one of these.
-- While the scope is not known yet, every interface is local, and peer_local keeps the peers that may be, too.
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
