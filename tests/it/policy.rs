//! Configured rules and routes: every form of one group gives equal rules, bad files get a sentence, and the evaluator
//! agrees with brute force.

/// Random rules, decided on address by address and port by port.
mod brute_force;
/// Requirements, near misses, priorities, shadowed rules, and routes.
mod needs;
/// Every form of one network security group, and damaged files.
pub mod shapes;
