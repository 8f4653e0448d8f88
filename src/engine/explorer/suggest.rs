//! Suggestions for misspelt names.

/// Returns the known name closest to `name`, if one is close. Letter case does not matter.
pub fn closest_name<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let letters = name.chars().count();
    let away = |known: &str| {
        let known = known.to_lowercase();
        // A part of a known name, or an extension of it, also counts as close.
        let is_part = letters > 2 && (known.contains(&name) || name.contains(&known));
        let distance = strsim::damerau_levenshtein(&name, &known);
        (is_part || distance <= 1.max(letters / 3)).then_some(distance)
    };
    let near = known.into_iter().filter_map(|known| Some((away(known)?, known)));
    near.min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near() {
        let known = ["dst_port", "dst_ip", "src_port", "flows", "time"];
        for (given, meant) in [
            ("dst_prt", Some("dst_port")),
            ("DST_PORTS", Some("dst_port")),
            ("flow", Some("flows")),
            ("tiem", Some("time")),
            ("x", None),
            ("latency", None),
        ] {
            assert_eq!(closest_name(given, known), meant, "{given}");
        }
    }
}
