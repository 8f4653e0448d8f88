//! A management API with its sign-in and identity services, in one server. It gives a token only for its cloud, and
//! lists only to who has that token.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use super::http::{Answer, Request, Server, serve};

/// What must never print.
pub const TOKEN: &str = "S3CR3TTOKEN";

/// What it does with a request for a list.
pub enum Reply {
    Page(Answer),
    /// As many bytes of the page, then the end of the connection.
    Cut(Answer, usize),
}

pub struct FakeManagement {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeManagement {
    /// `host` is that of the cloud's management API. `reply` is asked with the number of the request for a list.
    pub fn start(host: &'static str, reply: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let server = serve(move |request, stream| {
            if request.path().starts_with("/subscriptions/") {
                let nr = {
                    let mut noted = noted.lock().expect("no panic");
                    noted.push(request.target.clone());
                    noted.len() - 1
                };
                let is_known = request.header("authorization") == Some(&format!("Bearer {TOKEN}"));
                let reply =
                    if is_known { reply(request, nr) } else { Reply::Page(refusal(401, "AuthenticationFailed")) };
                return send(&reply, request, stream);
            }
            sign_in(host, request).send(request, stream)
        });
        Self { server, asked }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    /// Variables of a managed identity, and of the management API.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        let address = self.address();
        [("IDENTITY_ENDPOINT", format!("{address}/identity")), ("FLOWGAP_MANAGEMENT_ENDPOINT", address)]
    }

    /// Paths and queries of the requests for a list.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// Gives the token to whoever asks for this cloud's, as an identity service or a tenant does.
fn sign_in(host: &str, request: &Request) -> Answer {
    let body = String::from_utf8_lossy(&request.body).replace("%3A", ":").replace("%2F", "/");
    let is_given = match request.path().as_str() {
        "/identity" => {
            request.header("metadata") == Some("true") && request.query("resource") == Some(format!("https://{host}"))
        }
        "/tenant/oauth2/v2.0/token" => {
            let proof = ["client_secret=S3CR3T", "client_assertion=S3CR3TASSERTION"];
            body.contains(&format!("scope=https://{host}/.default"))
                && proof.iter().any(|proof| body.contains(proof))
                && body.contains("client_id=client")
        }
        _ => false,
    };
    match is_given {
        true => Answer::new(200, &[], format!("{{\"access_token\": \"{TOKEN}\", \"expires_in\": 3600}}")),
        false => Answer::new(401, &[], "{\"error_description\": \"AADSTS7000215: S3CR3T\"}"),
    }
}

fn send(reply: &Reply, request: &Request, stream: &mut TcpStream) -> io::Result<()> {
    match reply {
        Reply::Page(answer) => answer.send(request, stream),
        Reply::Cut(answer, length) => {
            stream.write_all(answer.head().as_bytes())?;
            stream.write_all(&answer.body[..*length])?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
    }
}

/// A refusal in the form of the management API. Its message may never print.
pub fn refusal(status: u16, code: &str) -> Answer {
    let body = format!("{{\"error\": {{\"code\": \"{code}\", \"message\": \"of S3CR3T {TOKEN}\"}}}}");
    Answer::new(status, &[("content-type", "application/json")], body)
}
