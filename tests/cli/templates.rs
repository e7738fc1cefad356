//! The embedded templates as they come out: what can be said of every one of them without compiling it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::run::Home;

/// A name that YAML 1.1 takes for a truth.
const NAME: &str = "no";

fn yaml(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn every(check: impl Fn(&Home, &Value)) {
    let list = Home::new().run(&["template", "list", "-o", "json"]).json();
    let templates = list["templates"].as_array().unwrap();
    assert!(templates.len() >= 3, "{list}");
    for template in templates {
        let home = Home::new();
        let name = template["name"].as_str().unwrap();
        let ran = home.run(&["new", NAME, "--template", name, "--defaults"]);
        assert_eq!(ran.code, 0, "{name}: {ran:#?}");
        check(&home, template);
    }
}

#[test]
fn the_service_is_valid_and_says_what_made_it() {
    every(|home, template| {
        let ran = home.run(&["-C", NAME, "config", "show", "-o", "json"]);
        assert_eq!(ran.code, 0, "{ran:#?}");
        let service = &ran.json()["service"];
        assert_eq!(service["service"], NAME);
        for key in ["name", "version", "digest"] {
            assert_eq!(service["template"][key], template[key], "{key} of {template}");
        }
        assert_eq!(service["replicas"], 3);
        assert_eq!(service["health"]["ready"], "/health/ready");
        assert!(service["run"]["build"].is_string() && service["run"]["command"].is_string(), "{service}");
        let written = yaml(&home.dir.path().join(NAME).join("msctl.yaml"));
        assert!(written["rollout"].is_null(), "nothing is judged unasked: {written}");
    });
}

#[test]
fn ci_tests_before_it_ships() {
    every(|home, _| {
        let dir = home.dir.path().join(NAME);
        let github = yaml(&dir.join(".github/workflows/ci.yml"));
        assert_eq!(github["jobs"]["ship"]["needs"], "test");
        let gitlab = yaml(&dir.join(".gitlab-ci.yml"));
        assert_eq!(gitlab["stages"][0], "test");
        let jenkins = std::fs::read_to_string(dir.join("Jenkinsfile")).unwrap();
        let script = std::fs::read_to_string(dir.join("ci/ship.sh")).unwrap();
        for stage in ["build", "sbom", "scan", "sign", "deploy"] {
            let call = format!("ci/ship.sh {stage}");
            assert!(script.contains(&format!("\n{stage})")), "{stage}");
            assert!(github["jobs"]["ship"]["steps"].to_string().contains(&call), "{call}");
            assert_eq!(gitlab[stage]["script"][0], call.as_str());
            assert!(jenkins.contains(&call), "{call}");
        }
        let mode = dir.join("ci/ship.sh").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "executable");
    });
}

#[test]
fn images_say_who_they_are_and_run_as_nobody() {
    every(|home, _| {
        let dockerfile = std::fs::read_to_string(home.dir.path().join(NAME).join("Dockerfile")).unwrap();
        for label in ["title", "version", "revision", "created"] {
            assert!(dockerfile.contains(&format!("org.opencontainers.image.{label}=")), "{label}");
        }
        let froms: Vec<&str> = dockerfile.lines().filter(|line| line.starts_with("FROM ")).collect();
        assert!(
            froms.len() >= 2 && froms.iter().all(|from| from.contains("_IMAGE}")),
            "bases are arguments: {froms:?}"
        );
        let user = dockerfile.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
        let uid: u32 = user.split(':').next().unwrap().parse().unwrap();
        assert!(uid > 0 && dockerfile.contains("--mount=type=cache"));
    });
}

#[test]
fn ship_says_how_it_is_used() {
    every(|home, _| {
        let script = home.dir.path().join(NAME).join("ci/ship.sh");
        let output = std::process::Command::new(script).arg("nope").output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage: "), "{output:?}");
    });
}

/// The road with tools that only note how they were called; what the tools make of it was tried by hand.
#[test]
fn every_stage_is_of_the_digest_that_was_built() {
    every(|home, _| {
        let dir = home.dir.path().join(NAME);
        let tools = home.dir.path().join("tools");
        std::fs::create_dir(&tools).unwrap();
        let note = "#!/bin/sh\nprintf '%s' \"${0##*/}\" >>$CALLS\nfor a in \"$@\"; do printf '|%s' \"$a\" >>$CALLS; done\necho >>$CALLS\n";
        for (tool, more) in [
            ("msctl", "echo '{\"images\": [{\"pinned\": \"r/no@sha256:1\"}]}'\n"),
            ("syft", "echo \"$SBOM\" >\"${4#*=}\"\n"),
            ("grype", ""),
            ("cosign", ""),
        ] {
            let file = tools.join(tool);
            std::fs::write(&file, format!("{note}{more}")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let calls = home.dir.path().join("calls");
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
        for stage in ["build", "sbom", "scan", "sign", "deploy"] {
            let mut command = std::process::Command::new(dir.join("ci/ship.sh"));
            command.arg(stage).env("PATH", &path).env("CALLS", &calls);
            command.env("SBOM", "{\"components\": [{\"type\": \"library\"}]}");
            command.env("COSIGN_KEY", "a key").env("COSIGN_ARGS", "--tlog-upload=false --verbose");
            let output = command.output().unwrap();
            assert!(output.status.success(), "{stage}: {output:?}");
        }
        let empty = std::process::Command::new(dir.join("ci/ship.sh"))
            .arg("sbom")
            .envs([("PATH", path.as_str()), ("CALLS", "/dev/null"), ("SBOM", "{\"components\": []}")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&empty.stderr).into_owned();
        assert!(!empty.status.success() && said.contains("names no package"), "{empty:?}");
        let locked = dir.join("Cargo.lock").is_file();
        let lock = if locked { "|--select-catalogers|+rust-cargo-lock-cataloger" } else { "" };
        let signing = "--yes|--key|a key|--tlog-upload=false|--verbose";
        let expected = [
            "msctl|build|--push|-o|json".to_owned(),
            format!("syft|scan|registry:r/no@sha256:1|-o|cyclonedx-json=build/sbom.json{lock}"),
            "grype|sbom:build/sbom.json|--fail-on|high|--only-fixed".into(),
            format!("cosign|sign|{signing}|r/no@sha256:1"),
            format!("cosign|attest|{signing}|--type|cyclonedx|--predicate|build/sbom.json|r/no@sha256:1"),
            "msctl|deploy|-e|production|--image|r/no@sha256:1|--yes=production|--no-input".into(),
        ];
        let called = std::fs::read_to_string(&calls).unwrap();
        assert_eq!(called.lines().collect::<Vec<_>>(), expected);
        let status =
            std::process::Command::new("git").args(["status", "--porcelain"]).current_dir(&dir).output();
        let said = String::from_utf8(status.unwrap().stdout).unwrap();
        assert!(
            !said.contains("build"),
            "what a stage leaves does not make the next one's tree dirty: {said}"
        );
    });
}
