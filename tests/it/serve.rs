//! `flowgap serve`: real clients, attacks, limits, the dashboard.

mod attack;
mod clients;
mod grafana;
mod limits;
mod load;
mod raw;
mod refresh;
mod start;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Stdio};
use std::time::{Duration, Instant};

use crate::support::binary::command;

const ARCHIVE: &str = "testdata/apim/insights-logs-flowlogflowevent";

/// A server that listens. It is stopped when dropped, and must then end cleanly.
struct Server {
    child: Child,
    port: u16,
    metrics: u16,
    said: BufReader<ChildStderr>,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let ports = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
        let mut child = command(&[&ports, arguments].concat()).stderr(Stdio::piped()).spawn().expect("flowgap starts");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut port_after = |words: &str, end: &str| {
            let mut line = String::new();
            said.read_line(&mut line).expect("a line");
            let port = line.trim().strip_prefix(words).and_then(|rest| rest.strip_suffix(end));
            port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{words}: {line}"))
        };
        let port = port_after("flowgap: listening at 127.0.0.1:", "");
        let metrics = port_after("flowgap: metrics at http://127.0.0.1:", "/metrics");
        Self { child, port, metrics, said }
    }

    fn over_archive(arguments: &[&str]) -> Self {
        Self::start(&[&[ARCHIVE], arguments].concat())
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).expect("connects");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }

    /// Value of a metric, with its labels.
    fn metric(&self, name: &str) -> f64 {
        let (text, name) = (self.get("/metrics"), format!("flowgap_serve_{name} "));
        let value = text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name}: {text}"))
    }

    /// Waits until a metric has a value.
    fn until(&self, name: &str, value: f64) {
        let begun = Instant::now();
        while self.metric(name) != value {
            assert!(begun.elapsed() < Duration::from_secs(20), "{name} is {}", self.metric(name));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Peak of the memory of the process, in bytes.
    #[cfg(target_os = "linux")]
    fn peak(&self) -> u64 {
        self.memory("VmHWM:").expect("a line")
    }

    /// Memory of the process, in bytes, by its name in Linux's status; `None` on other systems.
    fn memory(&self, name: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
    }

    fn stop(&mut self) {
        std::process::Command::new("kill").arg(self.child.id().to_string()).status().expect("kill");
        let (begun, mut status) = (Instant::now(), None);
        while status.is_none() && begun.elapsed() < Duration::from_secs(10) {
            status = self.child.try_wait().expect("a status");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("text");
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{said}");
        assert!(!said.contains("bug"), "{said}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.child.kill().expect("killed");
        } else {
            self.stop();
        }
    }
}
