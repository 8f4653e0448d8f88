//! Reads network security groups, effective rules, security group views, and rules without their group.

use serde_json::Value;

use super::acl::Head;
use super::node::Node;
use super::rule;
use super::template::Names;
use super::{Reader, Reason};
use crate::policy::address::Address;
use crate::policy::model::{Layer, Origin, Rule, RuleState, Shape};

/// Layer of admin rules that no collection is known of.
const ADMIN: &str = "security admin rules";

impl Reader<'_> {
    /// Reads a network security group with its rules.
    pub(super) fn group(&mut self, node: &Node, names: &Names) -> Result<(), Reason> {
        let body = rule::body(node);
        let is_pascal =
            node.object().is_some_and(|keys| keys.contains_key("SecurityRules") || keys.contains_key("Name"));
        let shape = match self.shape {
            Some(shape) => shape,
            None if is_pascal => Shape::PowerShell,
            None if node.has("properties") => Shape::Arm,
            None => Shape::Az,
        };
        let id = node.text_of("id");
        let name = node.text_of("name").or_else(|| rule::last_part(id.as_deref()?)).unwrap_or_default();
        let is_said = body.has("subnets") || body.has("networkinterfaces");
        // A list that an export leaves out may be empty or not asked for; an empty list that is there means nothing.
        let attached: Vec<String> = ["subnets", "networkinterfaces"]
            .iter()
            .flat_map(|key| body.list(key))
            .filter_map(|place| place.text_of("id").or_else(|| place.text()))
            .collect();
        let layer = match (body.list("subnets").is_empty(), body.list("networkinterfaces").is_empty()) {
            (true, false) => Layer::Nic,
            _ => Layer::Subnet,
        };
        self.builder.begin(Head {
            id,
            name,
            layer,
            attached: is_said.then_some(attached),
            flushes: body.flag("flushconnection"),
            shape,
            has_inline_blocks: false,
        });
        for (key, twin, origin) in [
            ("securityrules", "securityrulestext", Origin::User),
            ("defaultsecurityrules", "defaultsecurityrulestext", Origin::Default),
        ] {
            for rule in rules(&body, key, twin, origin, names)? {
                self.builder.add(rule);
            }
        }
        Ok(())
    }

    /// Reads a rule that stands alone. Its group is named by its id.
    pub(super) fn loose_rule(&mut self, node: &Node, names: &Names) {
        let id = node.text_of("id").unwrap_or_default();
        let is_default = id.to_ascii_lowercase().contains("/defaultsecurityrules/");
        let group = ["/securityrules/", "/defaultsecurityrules/"]
            .iter()
            .find_map(|mark| id.get(..id.to_ascii_lowercase().find(mark)?))
            .map(str::to_owned);
        let name = group.as_deref().and_then(rule::last_part).unwrap_or_default();
        self.builder.begin(Head { id: group, name, shape: Shape::RuleList, ..Head::default() });
        self.builder.add(rule::read(node, if is_default { Origin::Default } else { Origin::User }, names));
    }

    /// Reads the effective rules of one list that an interface passes.
    pub(super) fn effective(&mut self, node: &Node) -> Result<(), Reason> {
        let association = node.get("association");
        let is_at = |key: &str| association.as_ref().is_some_and(|place| place.get(key).is_some());
        let layer = match () {
            () if is_at("networkmanager") => Layer::Admin,
            () if is_at("networkinterface") => Layer::Nic,
            () => Layer::Subnet,
        };
        let place = ["subnet", "networkinterface", "networkmanager"]
            .iter()
            .find_map(|key| association.as_ref()?.path(&[key, "id"])?.text());
        let group = node.path(&["networksecuritygroup", "id"]).and_then(|id| id.text());
        let id = group.or_else(|| place.clone().filter(|_| layer == Layer::Admin));
        let name = id.as_deref().and_then(rule::last_part).unwrap_or_default();
        self.builder.begin(Head {
            id,
            name,
            layer,
            attached: place.map(|place| vec![place]),
            shape: Shape::Effective,
            ..Head::default()
        });
        for item in node.list("effectivesecurityrules") {
            if item.value().is_string() {
                return Err(Reason::Depth(item.pointer().to_owned()));
            }
            let mut rule =
                rule::read(&item, if layer == Layer::Admin { Origin::Admin } else { Origin::User }, &Names::default());
            // Effective rules print any address as all of IPv4.
            for address in rule.source.iter_mut().chain(&mut rule.destination).filter(|address| address.is_all_ipv4()) {
                *address = Address::Any;
            }
            self.builder.add(rule);
        }
        Ok(())
    }

    /// Reads what Network Watcher says of one interface.
    pub(super) fn security_group_view(&mut self, node: &Node) -> Result<(), Reason> {
        let Some(associations) = node.get("securityruleassociations") else { return Ok(()) };
        let defaults = associations.list("defaultsecurityrules");
        for (key, layer) in [("subnetassociation", Layer::Subnet), ("networkinterfaceassociation", Layer::Nic)] {
            let Some(association) = associations.get(key) else { continue };
            let rules = association.list("securityrules");
            let group = rules.iter().find_map(|rule| {
                let id = rule.text_of("id")?;
                id.get(..id.to_ascii_lowercase().find("/securityrules/")?).map(str::to_owned)
            });
            let name = group.as_deref().and_then(rule::last_part).unwrap_or_default();
            self.builder.begin(Head {
                id: group,
                name,
                layer,
                attached: association.text_of("id").map(|place| vec![place]),
                shape: Shape::SecurityGroupView,
                ..Head::default()
            });
            for (list, origin) in [(&rules, Origin::User), (&defaults, Origin::Default)] {
                list.iter().for_each(|rule| self.builder.add(rule::read(rule, origin, &Names::default())));
            }
        }
        Ok(())
    }

    /// Reads an admin rule. All admin rules of a file decide together.
    pub(super) fn admin_rule(&mut self, node: &Node) {
        self.builder.begin(Head {
            name: ADMIN.to_owned(),
            layer: Layer::Admin,
            shape: Shape::NetworkManager,
            ..Head::default()
        });
        self.builder.add(rule::read_admin(node));
    }
}

/// Reads the rules at a key. PowerShell cuts nested lists, and has the same rules as text under another key.
fn rules(body: &Node, key: &str, twin: &str, origin: Origin, names: &Names) -> Result<Vec<Rule>, Reason> {
    let items = body.list(key);
    let is_cut = items.iter().any(|item| item.value().is_string());
    let read: Vec<Rule> =
        items.iter().filter(|item| item.object().is_some()).map(|item| rule::read(item, origin, names)).collect();
    let is_whole = !is_cut && read.iter().all(|rule| rule.state == RuleState::Ok) && (body.has(key) || !body.has(twin));
    if is_whole {
        return Ok(read);
    }
    let text = body.get(twin).and_then(|text| Some((text.text()?, text.pointer().to_owned())));
    if let Some((text, pointer)) = text
        && let Ok(value) = serde_json::from_str::<Value>(&text)
    {
        return Ok(Node::at(&value, pointer).items().iter().map(|item| rule::read(item, origin, names)).collect());
    }
    match items.iter().find(|item| item.value().is_string()) {
        Some(cut) => Err(Reason::Depth(cut.pointer().to_owned())),
        None => Ok(read),
    }
}
