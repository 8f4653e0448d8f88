//! Random bytes for secrets, from the generator of the protocol's crate, which the operating system seeds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use datafusion_postgres::pgwire::api::auth::sasl::scram::random_nonce;

/// Returns random bytes.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = Vec::with_capacity(N + 18);
    while bytes.len() < N {
        bytes.extend(BASE64.decode(random_nonce()).unwrap_or_default());
    }
    let mut random = [0; N];
    random.copy_from_slice(&bytes[..N]);
    random
}
