//! What tests share: the real binary, archives with planted truth, storage services, and slow references.

pub mod archive;
pub mod azurite;
pub mod binary;
pub mod fake_management;
pub mod fake_storage;
pub mod http;
pub mod reference;
pub mod rows;
