//! One name per variant: the name that SQL, JSON, CSV and the command line use. Knows enums and text only.

/// A text that is not the name of a variant. The message lists the known names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' is not one of {known}")]
pub struct UnknownName {
    given: String,
    known: String,
}

impl UnknownName {
    /// Returns the error for the text `given`, where `known` are the valid names.
    pub fn new(given: &str, known: &[&str]) -> Self {
        Self { given: given.to_owned(), known: known.join(", ") }
    }
}

/// Gives an enum without data its names: `names!(Shape { Round = "round", Flat = "flat" })`. `FromStr` and
/// `Deserialize` refuse every other text. `Display` and `Serialize` write the name.
macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        #[allow(dead_code, reason = "not every enum needs every direction")]
        impl $type {
            /// Every variant, in the order of [`Self::NAMES`].
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];
            /// Every name, in the order of [`Self::ALL`].
            pub const NAMES: [&'static str; [$($name),+].len()] = [$($name),+];

            /// Returns the name of the variant in SQL, JSON, CSV and options.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// Returns the variant with this name, if there is one.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::names::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::from_name(text).ok_or_else(|| $crate::names::UnknownName::new(text, &Self::NAMES))
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use names;

#[cfg(test)]
mod tests {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Shape {
        Round,
        Flat,
    }

    names!(Shape { Round = "round", Flat = "flat" });

    #[test]
    fn names_go_both_ways_and_others_are_refused() {
        for (shape, name) in Shape::ALL.into_iter().zip(Shape::NAMES) {
            assert_eq!((shape.name(), Shape::from_name(name)), (name, Some(shape)));
            let json = serde_json::to_string(&shape).expect("JSON");
            assert_eq!(serde_json::from_str::<Shape>(&json).expect("a name"), shape);
        }
        let error = "Round".parse::<Shape>().expect_err("names have one spelling");
        assert_eq!(error.to_string(), "'Round' is not one of round, flat");
        assert!(serde_json::from_str::<Shape>("\"oval\"").is_err());
    }
}
