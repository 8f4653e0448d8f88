//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side: texts in, texts out. A verifier cannot be used to log in.

use std::fmt;
use std::hint::black_box;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The mechanism's name.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// Rounds of hashing for new verifiers.
pub const ROUNDS: u32 = 4096;

/// A message or verifier that breaks the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScramError(pub &'static str);

/// What the server keeps of a password: `SCRAM-SHA-256$ROUNDS:SALT$STORED:SERVER`, as PostgreSQL writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    rounds: u32,
    salt: Vec<u8>,
    stored: [u8; 32],
    server: [u8; 32],
}

impl Verifier {
    /// Makes the verifier from the salted password, which is hashed `rounds` times.
    pub fn new(salted: &[u8], salt: Vec<u8>, rounds: u32) -> Self {
        let stored = Sha256::digest(keyed(salted, b"Client Key")).into();
        Self { rounds, salt, stored, server: keyed(salted, b"Server Key") }
    }

    /// Returns a verifier that no password fits. Its salt depends on `secret` and the name alone, so that it looks like
    /// that of a real user.
    pub fn of_nobody(secret: &[u8; 32], name: &str) -> Self {
        let salt = keyed(secret, name.as_bytes())[..16].to_vec();
        Self { rounds: ROUNDS, salt, stored: keyed(secret, b"stored"), server: keyed(secret, b"server") }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = |bytes: &[u8]| BASE64.encode(bytes);
        let Self { rounds, salt, stored, server } = self;
        write!(f, "{MECHANISM}${rounds}:{}${}:{}", code(salt), code(stored), code(server))
    }
}

impl FromStr for Verifier {
    type Err = ScramError;

    fn from_str(text: &str) -> Result<Self, ScramError> {
        let parts = || {
            let (rounds, rest) = text.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
            let (salt, rest) = rest.split_once('$')?;
            let (stored, server) = rest.split_once(':')?;
            let key = |text: &str| <[u8; 32]>::try_from(BASE64.decode(text).ok()?).ok();
            let rounds = rounds.parse().ok().filter(|rounds| (ROUNDS..=1_000_000).contains(rounds))?;
            let salt = BASE64.decode(salt).ok().filter(|salt| (8..=64).contains(&salt.len()))?;
            Some(Self { rounds, salt, stored: key(stored)?, server: key(server)? })
        };
        parts().ok_or(ScramError("write SCRAM-SHA-256$ROUNDS:SALT$STORED:SERVER, as flowgap serve --add-user does"))
    }
}

/// An exchange after the client's first message.
pub struct Exchange {
    verifier: Verifier,
    /// Channel binding header of the client, in base64.
    header: String,
    /// The client's first message without the header.
    client_first: String,
    /// The server's answer to it.
    server_first: String,
    nonce: String,
}

impl Exchange {
    /// Reads the client's first message. `own` is random.
    pub fn begin(client: &str, own: &str, verifier: Verifier) -> Result<Self, ScramError> {
        let wrong = ScramError("malformed SCRAM message");
        let mut parts = client.splitn(3, ',');
        let (flag, identity, bare) = (parts.next(), parts.next(), parts.next());
        let (Some(flag), Some(identity), Some(bare)) = (flag, identity, bare) else { return Err(wrong) };
        match flag {
            "n" | "y" => {}
            _ => return Err(ScramError("channel binding is not offered")),
        }
        let nonce = bare.split(',').nth(1).and_then(|part| part.strip_prefix("r=")).ok_or(wrong)?;
        let is_plain = nonce.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if nonce.is_empty() || nonce.len() > 256 || !is_plain || !bare.starts_with("n=") {
            return Err(wrong);
        }
        let nonce = format!("{nonce}{own}");
        let server_first = format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.rounds);
        let header = BASE64.encode(format!("{flag},{identity},"));
        Ok(Self { verifier, header, client_first: bare.to_owned(), server_first, nonce })
    }

    /// Returns the server's first message.
    pub fn first(&self) -> &str {
        &self.server_first
    }

    /// Checks the client's last message. Returns the server's last one, or `None` if the password is wrong.
    pub fn finish(&self, client: &str) -> Result<Option<String>, ScramError> {
        let wrong = ScramError("malformed SCRAM message");
        let (without_proof, proof) = client.rsplit_once(",p=").ok_or(wrong)?;
        let mut parts = without_proof.split(',');
        let binding = parts.next().and_then(|part| part.strip_prefix("c=")).ok_or(wrong)?;
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).ok_or(wrong)?;
        if binding != self.header || nonce != self.nonce {
            return Err(ScramError("the SCRAM message belongs to another exchange"));
        }
        let proof: [u8; 32] = BASE64.decode(proof).ok().and_then(|proof| proof.try_into().ok()).ok_or(wrong)?;
        let signed = format!("{},{},{without_proof}", self.client_first, self.server_first);
        let signature = keyed(&self.verifier.stored, signed.as_bytes());
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(byte, other)| *byte ^= other);
        let is_right = is_equal(&Sha256::digest(client_key).into(), &self.verifier.stored);
        let answer = BASE64.encode(keyed(&self.verifier.server, signed.as_bytes()));
        Ok(is_right.then(|| format!("v={answer}")))
    }
}

/// Compares in a time that does not depend on the values.
fn is_equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    black_box(a.iter().zip(b).fold(0, |different, (a, b)| black_box(different | (a ^ b)))) == 0
}

fn keyed(key: &[u8], text: &[u8]) -> [u8; 32] {
    // A key of any length is valid.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn the_published_example_fits() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let mut round = keyed(b"pencil", &[&salt[..], &[0, 0, 0, 1]].concat());
        let mut salted = round;
        for _ in 1..4096 {
            round = keyed(b"pencil", &round);
            salted.iter_mut().zip(round).for_each(|(byte, other)| *byte ^= other);
        }
        let verifier = Verifier::new(&salted, salt, 4096);
        let read: Verifier = verifier.to_string().parse().expect("a verifier");
        assert!(read == verifier);
        let own = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let begun = Exchange::begin("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", own, verifier).expect("begins");
        let server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(begun.first(), server);
        let last = |proof: &str| format!("c=biws,r=rOprNGfwEbeRWgbNEkqO{own},p={proof}");
        let right = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let answer = Ok(Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned()));
        assert_eq!(begun.finish(&last(right)), answer);
        assert_eq!(begun.finish(&last(&right.replace("dH", "dI"))), Ok(None));
        assert!(begun.finish(&last(right).replace("biws", "eSws")).is_err());
        assert!(begun.finish(&last(right).replace("lj)", "lk)")).is_err());
        assert!(begun.finish("c=biws").is_err());
    }
}
