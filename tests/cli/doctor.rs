//! `doctor`: says what is there, fails only for what the project needs.

use crate::run::{Home, Ran};

#[test]
fn an_empty_machine_is_healthy_and_is_told_what_is_missing() {
    let home = Home::new();
    let output = home.command(&["doctor", "-o", "json"]).env("PATH", "/nowhere").output().unwrap();
    let ran = Ran::of(output);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let document = ran.json();
    assert_eq!(document["healthy"], true);
    let outcome = |name: &str| {
        let checks = document["checks"].as_array().unwrap();
        checks.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no {name}"))["outcome"].clone()
    };
    assert_eq!(outcome("state folder"), "ok");
    assert_eq!(outcome("go"), "missing");
}

#[test]
fn a_project_whose_compiler_is_missing_fails() {
    let home = Home::new();
    let file = "service: orders\nrun: {build: go build ./..., command: ./orders}\n";
    std::fs::write(home.dir.path().join("msctl.yaml"), file).unwrap();
    let ran = Ran::of(home.command(&["doctor"]).env("PATH", "/nowhere").output().unwrap());
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stdout.contains("install Go"), "{ran:#?}");
}

#[test]
fn a_broken_project_file_is_named() {
    let home = Home::new();
    std::fs::write(home.dir.path().join("msctl.yaml"), "service: orders\nreplica: 1\n").unwrap();
    let ran = home.run(&["doctor"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stdout.contains("msctl.yaml:2:1") && ran.stdout.contains("replicas"), "{ran:#?}");
}
