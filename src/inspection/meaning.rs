//! Explains in sentences how the state of an archive affects an analysis.

use super::{Hours, Inspection, Interface};
use crate::findings::counted;
use crate::remedy::Remedy;

/// Maximum number of interfaces whose gaps are listed individually.
const LISTED: usize = 5;

pub fn meaning(inspection: &Inspection) -> Vec<String> {
    let input = &inspection.input;
    let mut sentences = Vec::new();
    let mut say = |sentence: String| sentences.push(sentence);
    if inspection.is_interrupted {
        say("The run was interrupted: this covers only what was read before.".to_owned());
    }
    if input.tuples == 0 {
        say("There is no flow here, so an analysis has nothing to work with: check the source and the time window."
            .to_owned());
    }
    let with_gaps: Vec<&Interface> = inspection.interfaces.iter().filter(|i| !i.missing_hours.is_empty()).collect();
    for interface in with_gaps.iter().take(LISTED) {
        say(format!(
            "Interface {} has no blob for {}: the absence of flows in those hours proves nothing.",
            interface.mac,
            listed(&interface.missing_hours)
        ));
    }
    if with_gaps.len() > LISTED {
        let (more, format) = (with_gaps.len() - LISTED, Remedy::Format);
        say(format!("{more} more interfaces have hours without a blob; {format} json lists them."));
    }
    if input.unreadable_blobs > 0 {
        let blobs = counted(input.unreadable_blobs as i64, "blob");
        say(format!("{blobs} could not be read to the end: the rest is missing from every result."));
    }
    if input.bad_records > 0 || input.malformed_tuples > 0 {
        say(format!(
            "{} and {} were skipped and are listed below; all others count.",
            counted(input.bad_records as i64, "bad record"),
            counted(input.malformed_tuples as i64, "malformed tuple")
        ));
    }
    let versions = &input.versions;
    if versions.vnet4 == 0 && versions.nsg1 + versions.nsg2 > 0 {
        say("All flow logs here are NSG flow logs, which Azure does not support for API Management: the absence of a \
             flow proves little."
            .to_owned());
    }
    if versions.vnet4 > 0 && versions.nsg1 + versions.nsg2 > 0 {
        say("NSG and VNet flow logs are mixed: a flow that is in both counts twice.".to_owned());
    }
    if versions.nsg1 > 0 {
        say("NSG flow logs of version 1 have neither flow states nor counters, so they cannot show unanswered connections."
            .to_owned());
    }
    if input.tuples > 0 && input.tuples == input.denied_tuples {
        say("Only denied flows are logged, so it is unknown how much was allowed.".to_owned());
    }
    if input.unordered_records > 0 {
        say("Some records are older than the one before them, for example after a collector restart; this does not affect any result."
            .to_owned());
    }
    let uncounted = [
        (inspection.interface_count_exact, inspection.interface_count, "interfaces", "a sample of them is listed"),
        (inspection.rule_count_exact, inspection.rule_count, "rules", "a sample of them is listed"),
        (
            inspection.local_address_count_exact,
            inspection.local_address_count,
            "local addresses",
            "the subnets count a sample of them",
        ),
    ];
    for (_, count, what, listed) in uncounted.into_iter().filter(|(is_exact, ..)| !is_exact) {
        say(format!("There are about {count} {what}: {listed}."));
    }
    sentences
}

/// Lists the first gaps, such as `2026-05-04 03:00 to 2026-05-04 05:00 UTC`.
fn listed(gaps: &[Hours]) -> String {
    const SHOWN: usize = 3;
    let gap = |gap: &Hours| {
        let (from, to) = (gap.from.minute(), gap.to.minute());
        if from == to { from } else { format!("{} to {to}", from.trim_end_matches(" UTC")) }
    };
    let shown: Vec<String> = gaps.iter().take(SHOWN).map(gap).collect();
    let more = gaps.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
