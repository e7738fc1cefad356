//! Every command where no question can be asked and nothing can be reached: it answers in bounded time, with exactly one
//! JSON document, and an error that names the next move.

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use clap::CommandFactory;
use serde_json::Value;

use crate::run::{Home, Ran};

/// Each command with the least it needs.
const COMMANDS: &[&str] = &[
    "new fresh",
    "new fresh --dry-run",
    "template list",
    "template show go",
    "template lint go",
    "template schema",
    "build",
    "deploy",
    "deploy --plan",
    "diff",
    "adopt",
    "rollout status",
    "rollout watch",
    "rollout promote",
    "rollout pause",
    "rollout resume",
    "rollout abort",
    "rollout retry",
    "rollout undo",
    "rollout history",
    "rollout judge",
    "rollout rehearse",
    "rollout report",
    "rollout restart",
    "rollout attach",
    "rollout rbac",
    "status",
    "logs",
    "scale 3",
    "migrate contract",
    "delete",
    "local status",
    "local down",
    "demo",
    "doctor",
    "config show",
    "config schema",
    "completions bash",
    "man pages",
];
/// They print what is JSON Schema already.
const SCHEMAS: [&str; 2] = ["template schema", "config schema"];
const BOUND: Duration = Duration::from_secs(20);

fn home(service: bool) -> Home {
    let home = Home::new();
    let write = |name: &str, text: &str| std::fs::write(home.dir.path().join(name), text).unwrap();
    write(
        "nowhere",
        "apiVersion: v1\nkind: Config\ncurrent-context: nowhere\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n\
         users: [{name: u, user: {}}]\ncontexts: [{name: nowhere, context: {cluster: c, user: u}}]\n",
    );
    if service {
        write("Dockerfile", "FROM scratch\nCOPY . /\n");
        write(
            "msctl.yaml",
            "apiVersion: msctl.dev/v1\nservice: orders\nimage: {repository: 127.0.0.1:1/orders}\nport: 8080\n\
             environments:\n  nowhere: {platform: kubernetes, context: nowhere, protected: true}\n",
        );
    }
    home
}

fn spawn(home: &Home, line: &str, format: &str, stdin: Stdio) -> Child {
    let args: Vec<&str> = line.split(' ').chain(["-o", format]).collect();
    let mut command = home.command(&args);
    command.env("CI", "true").env("PATH", "").env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    command.env("KUBECONFIG", home.dir.path().join("nowhere")).env("MSCTL_ENV", "nowhere");
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Its end within the bound, whoever keeps stdin open.
fn end(mut child: Child, line: &str) -> Ran {
    let held = child.stdin.take();
    let begun = Instant::now();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            from.read_to_string(&mut text).unwrap();
            text
        })
    };
    let (stdout, stderr) = (read(Box::new(out)), read(Box::new(err)));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > BOUND {
            child.kill().unwrap();
            panic!("{line}: still runs after {BOUND:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    drop(held);
    Ran { code: status.code().unwrap_or(-1), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn checked(error: &Value, ran: &Ran, what: &str) {
    assert_eq!(error["code"], ran.code, "{what}: {ran:#?}");
    assert!([1, 2].contains(&ran.code), "{what}: {ran:#?}");
    for key in ["reason", "message"] {
        assert!(error[key].as_str().is_some_and(|t| !t.trim().is_empty()), "{what}: no {key}: {ran:#?}");
    }
    assert!(!error["hints"].as_array().unwrap().is_empty(), "{what}: no next move: {ran:#?}");
}

#[test]
fn the_table_has_every_command() {
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name()).trim().to_owned();
            if sub.has_subcommands() { leaves(sub, &path, found) } else { found.push(path) }
        }
    }
    let mut found = vec![];
    leaves(&msctl::cli::Cli::command(), "", &mut found);
    for command in &found {
        let listed = COMMANDS.iter().any(|c| *c == command || c.starts_with(&format!("{command} ")));
        assert!(listed, "{command} is not in the table");
    }
    assert!(found.len() > 25, "{found:?}");
}

#[test]
fn json_is_one_document_whatever_happens() {
    for service in [true, false] {
        for line in COMMANDS {
            let home = home(service);
            let ran = end(spawn(&home, line, "json", Stdio::null()), line);
            let what = format!("{line}, with{} a service", if service { "" } else { "out" });
            let document = ran.json();
            if SCHEMAS.contains(line) {
                assert!(document["$schema"].is_string() && ran.code == 0, "{what}: {ran:#?}");
                continue;
            }
            let schema = document["schema"].as_str().unwrap_or_else(|| panic!("{what}: {ran:#?}"));
            if schema == "msctl.dev/error/v1" {
                checked(&document["error"], &ran, &what);
            } else {
                let word = line.split(' ').next().unwrap();
                assert!(schema.starts_with(&format!("msctl.dev/{word}")) && ran.code < 2, "{what}: {ran:#?}");
            }
        }
    }
}

#[test]
fn ndjson_is_events_and_one_end() {
    for service in [true, false] {
        for line in COMMANDS.iter().filter(|l| !SCHEMAS.contains(l)) {
            let home = home(service);
            let ran = end(spawn(&home, line, "ndjson", Stdio::null()), line);
            let what = format!("{line}, with{} a service", if service { "" } else { "out" });
            let events: Vec<Value> = ran
                .stdout
                .lines()
                .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{what}: {e}: {ran:#?}")))
                .collect();
            for (at, event) in events.iter().enumerate() {
                assert_eq!(event["schema"], "msctl.dev/event/v1", "{what}: {ran:#?}");
                let (kind, last) = (event["type"].as_str().unwrap(), at + 1 == events.len());
                assert_eq!(["result", "error"].contains(&kind), last, "{what}: {ran:#?}");
                assert!(
                    event["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(),
                    "{what}: {event}"
                );
            }
            let last = events.last().unwrap_or_else(|| panic!("{what}: nothing on stdout: {ran:#?}"));
            if last["type"] == "error" {
                checked(&last["error"], &ran, &what);
            }
        }
    }
}

#[test]
fn nothing_waits_for_an_answer_that_cannot_come() {
    let asking = ["new fresh", "deploy", "delete", "rollout undo", "demo"];
    for line in asking {
        let home = home(true);
        // Open and silent, as the stdin of a CI job may be.
        let mut child = spawn(&home, line, "json", Stdio::piped());
        child.stdin.as_mut().unwrap().write_all(b"y\n").unwrap();
        let ran = end(child, line);
        assert!(!ran.stderr.contains("[y/N]"), "{line} asked: {ran:#?}");
    }
    let home = home(true);
    let error = end(spawn(&home, "delete", "json", Stdio::null()), "delete").json()["error"].clone();
    assert!(error["hints"].to_string().contains("--yes"), "{error:#}");
}
