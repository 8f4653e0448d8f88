//! Reads files with rules and routes, in every form that Azure's tools write. The form is recognised by its keys.

mod acl;
mod lists;
mod node;
mod route;
mod rule;
mod template;
mod terraform;

pub use self::acl::is_equal;
pub use self::node::Node;

use self::acl::Builder;
use self::template::Names;
use super::error::{ExportError, Reason};
use super::json::document;
use super::model::{Acl, Layer, Origin, Route, Rule, Shape};

/// Maximum number of wrappers inside each other.
const DEEPEST: usize = 12;

const NO_RULES: Reason = Reason::Form(
    "this JSON holds no rules and no routes: export a network security group with az network nsg show --output json",
);
const FLOW_LOG: Reason = Reason::Form("this is a flow log, not a configuration: name it as SOURCE");

/// Everything that one file holds.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Lists of rules, each whole.
    pub acls: Vec<Acl>,
    /// Routes.
    pub routes: Vec<Route>,
}

/// Reads the text of a file. `file` names it in errors.
pub fn read(file: &str, text: &str) -> Result<Parsed, ExportError> {
    let value = document(text).map_err(|reason| ExportError::new(file, reason))?;
    let mut reader = Reader { file, builder: Builder::new(file), routes: Vec::new(), shape: None };
    reader.walk(&Node::root(&value), &Names::default(), 0).map_err(|reason| ExportError::new(file, reason))?;
    let (acls, routes) = (reader.builder.finish(), reader.routes);
    if acls.is_empty() && routes.is_empty() {
        let is_log = text.contains("\"flowRecords\"") || text.contains("\"flowTuples\"");
        return Err(ExportError::new(file, if is_log { FLOW_LOG } else { NO_RULES }));
    }
    Ok(Parsed { acls, routes })
}

/// Reads the rules of a body of the management API: one rule, or a group with its rules.
pub fn read_rules(body: &Node) -> Vec<Rule> {
    let names = Names::default();
    match rule::is_rule(body) {
        true => vec![rule::read(body, Origin::User, &names)],
        false => {
            rule::body(body).list("securityrules").iter().map(|rule| rule::read(rule, Origin::User, &names)).collect()
        }
    }
}

/// Collects the rules and routes of one file.
struct Reader<'f> {
    file: &'f str,
    builder: Builder<'f>,
    routes: Vec<Route>,
    /// Form that a wrapper told.
    shape: Option<Shape>,
}

impl Reader<'_> {
    /// Reads whatever a value holds. Values that hold nothing known are passed over.
    fn walk(&mut self, node: &Node, names: &Names, depth: usize) -> Result<(), Reason> {
        if depth > DEEPEST {
            return Ok(());
        }
        if node.value().is_array() {
            return node.items().iter().try_for_each(|item| self.walk(item, names, depth + 1));
        }
        let Some(keys) = node.object() else { return Ok(()) };
        if let (Some(error), true) = (node.get("error"), keys.len() <= 2) {
            let code = error.text_of("code").or_else(|| error.text_of("message")).unwrap_or_default();
            return Err(Reason::ErrorResponse(code.chars().take(80).collect()));
        }
        let body = rule::body(node);
        if terraform::is_terraform(node) {
            terraform::read(node, self.file, &mut self.builder, &mut self.routes)
        } else if is_template(node) {
            self.template(node, depth)
        } else if node.has("securityruleassociations") {
            self.security_group_view(node)
        } else if node.has("effectivesecurityrules") {
            self.effective(node)
        } else if body.has("securityrules") || body.has("securityrulestext") {
            self.group(node, names)
        } else if body.has("sources") && body.has("destinations") && body.has("access") {
            self.admin_rule(node);
            Ok(())
        } else if rule::is_rule(node) {
            self.loose_rule(node, names);
            Ok(())
        } else if body.has("routes") {
            self.routes.extend(route::table(node, self.file, names));
            Ok(())
        } else if body.has("nexthoptype") {
            self.routes.extend(route::route(node, "", self.file, names));
            Ok(())
        } else {
            self.wrapper(node, names, depth)
        }
    }

    /// Reads what a list or a page holds, and remembers that pages are missing.
    fn wrapper(&mut self, node: &Node, names: &Names, depth: usize) -> Result<(), Reason> {
        if node.has("data") && node.has("count") {
            self.shape = Some(Shape::ResourceGraph);
        }
        for key in ["value", "data", "networkinterfaces", "resources", "body"] {
            if let Some(inner) = node.get(key) {
                self.walk(&inner, names, depth + 1)?;
            }
        }
        if ["nextlink", "skiptoken"].iter().any(|key| node.text_of(key).is_some()) {
            self.builder.gap_everywhere("the file is one page of several");
        }
        Ok(())
    }

    fn template(&mut self, template: &Node, depth: usize) -> Result<(), Reason> {
        let names = Names::of_template(template);
        self.resources(template, "", &names, depth)
    }

    /// Reads the resources of a template, or the children of one called `parent`.
    fn resources(&mut self, node: &Node, parent: &str, names: &Names, depth: usize) -> Result<(), Reason> {
        if depth > DEEPEST {
            return Ok(());
        }
        // Compiled Bicep may hold resources under symbolic names.
        let list = node.get("resources").map(|list| match list.object() {
            Some(keys) => {
                keys.iter().map(|(name, value)| Node::at(value, format!("{}/{name}", list.pointer()))).collect()
            }
            None => list.items(),
        });
        for resource in list.unwrap_or_default() {
            let kind = resource.text_of("type").unwrap_or_default().to_ascii_lowercase();
            let own = resource.text_of("name").map(|name| names.resolve(&name)).unwrap_or_default();
            let kind = kind.strip_prefix("microsoft.network/").unwrap_or(&kind);
            match kind {
                "networksecuritygroups" => {
                    self.builder.begin(acl::Head {
                        name: own.clone(),
                        layer: Layer::Subnet,
                        shape: Shape::Template,
                        ..acl::Head::default()
                    });
                    for rule in rule::body(&resource).list("securityrules") {
                        self.builder.add(rule::read(&rule, Origin::User, names));
                    }
                }
                "networksecuritygroups/securityrules" | "securityrules" => {
                    let group = if kind == "securityrules" { parent.to_owned() } else { names.parent(&own) };
                    let group = names.resolve(&group);
                    self.builder.begin(acl::Head {
                        name: group,
                        layer: Layer::Subnet,
                        shape: Shape::Template,
                        ..acl::Head::default()
                    });
                    self.builder.add(rule::read(&resource, Origin::User, names));
                }
                "routetables" => self.routes.extend(route::table(&resource, self.file, names)),
                "routetables/routes" => {
                    self.routes.extend(route::route(&resource, &names.parent(&own), self.file, names));
                }
                "microsoft.resources/deployments" => {
                    if let Some(inner) = resource.path(&["properties", "template"]) {
                        self.template(&inner, depth + 1)?;
                    }
                }
                _ => {}
            }
            self.resources(&resource, &own, names, depth + 1)?;
        }
        Ok(())
    }
}

fn is_template(node: &Node) -> bool {
    let is_schema = |text: String| text.to_ascii_lowercase().contains("deploymenttemplate");
    let of_azure =
        |item: &Node| item.text_of("type").is_some_and(|kind| kind.to_ascii_lowercase().starts_with("microsoft."));
    node.has("resources")
        && (node.text_of("$schema").is_some_and(is_schema)
            || node.list("resources").iter().any(|item| of_azure(item) && item.has("apiversion")))
}
