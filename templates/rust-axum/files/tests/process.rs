//! The program as it ships, in a process of its own: what only a real process can show.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
};

const SERVICE: &str = env!("CARGO_BIN_EXE_service");

#[test]
fn a_bad_variable_stops_it_and_is_named() {
    let output = Command::new(SERVICE).env("PORT", "http").env("FAIL_RATE", "2").output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stdout}");
    assert!(stdout.contains("PORT: ") && stdout.contains("FAIL_RATE: "), "{stdout}");
}

#[test]
fn sigterm_ends_it_with_0() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(SERVICE);
    command.env("PORT", port.to_string()).env("DRAIN_DELAY", "100ms").env("LOG_LEVEL", "info");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("listening")).expect("it listens").unwrap();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(lines.any(|line| line.unwrap().contains("stopped")));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
