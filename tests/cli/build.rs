//! `build` where there is no engine, or none that may be used; and what it refuses before it asks one.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::run::{Home, Ran};

struct Project {
    home: Home,
    dir: PathBuf,
}

impl Project {
    fn new(image: &str) -> Self {
        let home = Home::new();
        let dir = home.dir.path().join("orders");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("msctl.yaml"), format!("service: orders\nimage: {image}\n")).unwrap();
        std::fs::write(dir.join("Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
        Project { home, dir }
    }
    fn built() -> Self {
        Self::new("{repository: localhost:1/orders}")
    }
    fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        let mut command = self.home.command(&[&["build"], args].concat());
        let command = command.current_dir(&self.dir).envs(env.iter().copied());
        Ran::of(command.output().unwrap())
    }
    fn error(&self, args: &[&str], env: &[(&str, &str)]) -> Value {
        let ran = self.run(&[args, &["-o", "json"]].concat(), env);
        let error = ran.json()["error"].clone();
        assert_eq!(error["code"], ran.code, "{ran:#?}");
        error
    }
}

#[test]
fn no_engine_says_what_was_tried_and_what_to_do() {
    let project = Project::built();
    let gone = project.home.dir.path().join("gone.sock");
    let host = format!("unix://{}", gone.display());
    let ran = project.run(&[], &[("DOCKER_HOST", &host)]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    assert!(ran.stderr.contains("error: no Docker engine answers"), "{ran:#?}");
    assert!(ran.stderr.contains(&format!("tried DOCKER_HOST={host}: No such file")), "{ran:#?}");
    assert!(ran.stderr.contains("hint: start one"), "{ran:#?}");
    let error = project.error(&[], &[("DOCKER_HOST", "tcp://127.0.0.1:1")]);
    assert_eq!((error["reason"].as_str(), error["code"].as_i64()), (Some("no-docker"), Some(1)), "{error:#}");
    assert!(error["causes"][0].as_str().unwrap().contains("refused"), "{error:#}");
}

#[test]
fn a_current_context_that_is_gone_is_a_configuration_error() {
    let project = Project::built();
    let error = project.error(&[], &[("DOCKER_CONTEXT", "staging")]);
    assert_eq!(
        (error["reason"].as_str(), error["code"].as_i64()),
        (Some("unknown-docker-context"), Some(2)),
        "{error:#}"
    );
}

#[test]
fn a_closed_socket_asks_for_permission() {
    let project = Project::built();
    let folder = project.home.dir.path().join("run");
    std::fs::create_dir(&folder).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("docker.sock")).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::set_permissions(project.home.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // Root may open everything: another user has to knock.
    let host = format!("unix://{}/docker.sock", folder.display());
    let program = project.home.dir.path().join("msctl");
    std::fs::copy(crate::run::msctl_bin(), &program).unwrap();
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["build", "-o", "json"]);
    command
        .env_clear()
        .env("HOME", "/tmp")
        .env("XDG_STATE_HOME", "/nonexistent")
        .env("DOCKER_HOST", host)
        .current_dir(&project.dir);
    let ran = Ran::of(command.output().unwrap());
    let error = ran.json()["error"].clone();
    assert_eq!((error["reason"].as_str(), ran.code), (Some("docker-denied"), 1), "{ran:#?}");
    assert!(error["hints"][0].as_str().unwrap().contains("docker $USER"), "{error:#}");
}

#[test]
fn what_is_wrong_in_the_folder_is_a_usage_error() {
    let project = Project::built();
    std::fs::write(project.dir.join(".dockerignore"), "ok\n[\n").unwrap();
    let error = project.error(&[], &[]);
    assert_eq!(
        (error["reason"].as_str(), error["code"].as_i64()),
        (Some("bad-dockerignore"), Some(2)),
        "{error:#}"
    );
    assert_eq!(error["location"]["line"], 2);
    std::fs::remove_file(project.dir.join(".dockerignore")).unwrap();
    std::fs::remove_file(project.dir.join("Dockerfile")).unwrap();
    let error = project.error(&[], &[]);
    assert_eq!(
        (error["reason"].as_str(), error["code"].as_i64()),
        (Some("no-dockerfile"), Some(2)),
        "{error:#}"
    );

    for (image, args, reason) in [
        ("{repository: 'localhost:1/orders:v1'}", vec![], "bad-repository"),
        ("{repository: Orders/x}", vec![], "bad-reference"),
        ("ghcr.io/shop/orders:v1", vec!["orders"], "built-elsewhere"),
        ("{repository: localhost:1/orders}", vec!["--tag", "no good"], "bad-tag"),
        ("{repository: localhost:1/orders}", vec!["--build-arg", "=x"], "bad-build-arg"),
        ("{repository: localhost:1/orders}", vec!["ordres"], "unknown-service"),
        ("{repository: localhost:1/orders, context: nowhere}", vec![], "no-context"),
        (
            "{repository: localhost:1/orders}",
            vec!["--platform", "linux/amd64", "--platform", "linux/arm64"],
            "several-platforms",
        ),
    ] {
        let error = Project::new(image).error(&args, &[]);
        assert_eq!((error["reason"].as_str(), error["code"].as_i64()), (Some(reason), Some(2)), "{error:#}");
    }
}

#[test]
fn a_registry_that_is_not_there_is_found_out_before_the_build() {
    let project = Project::built();
    let error = project.error(&["--push"], &[("DOCKER_HOST", "unix:///nonexistent.sock")]);
    assert_eq!(
        (error["reason"].as_str(), error["code"].as_i64()),
        (Some("registry-unreachable"), Some(1)),
        "{error:#}"
    );
    assert_eq!(error["object"], "localhost:1");
}

#[test]
fn a_base_whose_registry_is_not_there_is_not_pinned_and_the_file_stays() {
    let project = Project::built();
    let file = project.dir.join("Dockerfile");
    let text = "ARG BASE=localhost:1/base:1\nFROM ${BASE}\n";
    std::fs::write(&file, text).unwrap();
    let error = project.error(&["--pin"], &[("DOCKER_HOST", "unix:///nonexistent.sock")]);
    assert_eq!((&error["reason"], &error["code"]), (&"base-image".into(), &1.into()), "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("localhost:1/base:1"), "{error:#}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), text);
}

#[test]
fn a_broken_docker_configuration_is_named_and_not_quoted() {
    let project = Project::built();
    std::fs::create_dir(project.home.dir.path().join(".docker")).unwrap();
    std::fs::write(
        project.home.dir.path().join(".docker/config.json"),
        r#"{"auths": {"r": {"auth": hunter2}}}"#,
    )
    .unwrap();
    let ran = project.run(&["--push", "-vvv"], &[("DOCKER_HOST", "unix:///nonexistent.sock")]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(
        ran.stderr.contains("config.json is not valid JSON: line 1") && !ran.stderr.contains("hunter2"),
        "{ran:#?}"
    );
}
