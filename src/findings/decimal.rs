//! Exact fractions that JSON shows as numbers.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of at least 0, counted in parts of 1 / `UNITS`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal<const UNITS: u32>(u32);

impl<const UNITS: u32> Decimal<UNITS> {
    /// Returns `units` parts of 1 / `UNITS`.
    pub const fn new(units: u32) -> Self {
        Self(units)
    }

    /// Returns the number of parts.
    pub fn units(self) -> u32 {
        self.0
    }

    /// Returns the nearest floating-point number.
    pub fn value(self) -> f64 {
        f64::from(self.0) / f64::from(UNITS)
    }
}

impl<const UNITS: u32> fmt::Display for Decimal<UNITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

impl<const UNITS: u32> Serialize for Decimal<UNITS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

impl<'de, const UNITS: u32> Deserialize<'de> for Decimal<UNITS> {
    /// Fails for numbers that are not a whole number of parts.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        let units = (number * f64::from(UNITS)).round();
        let read = Self(units as u32);
        if (0.0..=f64::from(u32::MAX)).contains(&units) && (read.value() - number).abs() < 1e-9 {
            Ok(read)
        } else {
            Err(serde::de::Error::custom(format_args!("{number} is no number of parts of 1/{UNITS}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_reads_back_as_it_prints() {
        for units in 0..=10_000 {
            let decimal = Decimal::<10_000>::new(units);
            let json = serde_json::to_string(&decimal).expect("JSON");
            assert_eq!(serde_json::from_str::<Decimal<10_000>>(&json).expect("a number"), decimal, "{json}");
        }
        for wrong in ["-0.1", "0.12345", "1e300", "\"1\"", "null"] {
            assert!(serde_json::from_str::<Decimal<1000>>(wrong).is_err(), "{wrong}");
        }
    }
}
