//! Shapes of records through the real binary.
