//! `build` with a real engine and real registries: what is in the image, what it is called, and what goes wrong.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{BUSYBOX, Lab, Namespace, PRIVATE};

const OPEN: &str = "localhost:5000";
const GONE: &str = "unix:///nonexistent/docker.sock";

struct Project {
    ns: Namespace,
    dir: PathBuf,
    repository: String,
}

impl Project {
    fn new(name: &str, registry: &str, files: &[(&str, &str)]) -> Self {
        let ns = Lab::get().namespace(name, false);
        let repository = format!("{registry}/{}/orders", ns.name);
        let dir = ns.service("orders", &format!("image: {{repository: {repository}}}"));
        let project = Project { ns, dir, repository };
        files.iter().for_each(|(path, text)| project.write(path, text));
        let text = std::fs::read_to_string(project.dir.join("msctl.yaml")).unwrap();
        project.write("msctl.yaml", &text);
        project
    }

    /// Writes a file with a time of its own in whole seconds, which every tar keeps.
    fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        static COUNT: AtomicU64 = AtomicU64::new(1_700_000_000);
        let time = std::time::UNIX_EPOCH + Duration::from_secs(COUNT.fetch_add(1, Ordering::Relaxed));
        std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn msctl(&self, args: &[&str]) -> crate::harness::Msctl {
        self.ns.msctl(&[&["build"], args].concat()).dir(&self.dir)
    }

    /// The one image of a build that succeeds.
    fn image(&self, args: &[&str]) -> Value {
        self.msctl(&[args, &["-o", "json"]].concat()).run().ok().json()["images"][0].clone()
    }

    fn error(&self, args: &[&str]) -> Value {
        self.msctl(&[args, &["-o", "json"]].concat()).run().exits(1).json()["error"].clone()
    }

    fn git(&self, args: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=A", "-c", "user.email=a@example.com"]).args(args).current_dir(&self.dir);
        let out = git.env("GIT_COMMITTER_DATE", "2024-05-06T07:08:09Z").output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["init", "-q"]);
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// The digest a tag has, asked for as any client would.
    fn digest(&self, tag: &str) -> Option<String> {
        digest(&self.repository, tag)
    }

    fn docker_config(&self, text: &str) {
        let folder = self.ns.home.path().join(".docker");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.json"), text).unwrap();
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let images = docker(&["image", "ls", "-q", "--filter", &format!("reference={}", self.repository)]);
        for id in images.lines() {
            let _ = self.ns.lab.command("docker").args(["image", "rm", "-f", id]).output();
        }
    }
}

fn docker(args: &[&str]) -> String {
    let out = Lab::get().command("docker").args(args).env("DOCKER_BUILDKIT", "1").output().unwrap();
    assert!(out.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

fn digest(repository: &str, tag: &str) -> Option<String> {
    let (host, name) = repository.split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let login = if host == PRIVATE { "Authorization: Basic bGFiOnNlY3JldA==\r\n" } else { "" };
    let accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";
    write!(stream, "HEAD /v2/{name}/manifests/{tag} HTTP/1.1\r\nHost: {host}\r\n{login}Accept: {accept}\r\nConnection: close\r\n\r\n").unwrap();
    let lines: Vec<String> = BufReader::new(stream).lines().map(|l| l.unwrap_or_default()).collect();
    let found = lines
        .iter()
        .find_map(|l| l.to_lowercase().strip_prefix("docker-content-digest: ").map(str::to_owned));
    lines[0].contains(" 200 ").then_some(found?)
}

/// Path below `/ctx` → kind, mode, owner, time, link or content.
type Files = BTreeMap<String, (u8, u32, u64, u64, Vec<u8>)>;

fn files(tar: &[u8]) -> Files {
    let mut archive = tar::Archive::new(tar);
    let mut files = Files::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let Some(path) =
            path.trim_start_matches("./").strip_prefix("ctx/").map(|p| p.trim_end_matches('/').to_owned())
        else {
            continue;
        };
        let header = entry.header().clone();
        let kind = header.entry_type().as_byte();
        // The time of a folder is that of the copy, and links have none worth keeping.
        let time = if kind == b'0' { header.mtime().unwrap() } else { 0 };
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if let Some(link) = entry.link_name_bytes() {
            content = link.into_owned();
        }
        if !path.is_empty() {
            files.insert(path, (kind, header.mode().unwrap() & 0o7777, header.uid().unwrap(), time, content));
        }
    }
    files
}

fn files_of_image(reference: &str) -> Files {
    let container = docker(&["create", reference, "none"]);
    let out = Lab::get().command("docker").args(["export", &container]).output().unwrap();
    docker(&["rm", &container]);
    assert!(out.status.success());
    files(&out.stdout)
}

fn files_of_docker_cli(dir: &Path) -> Files {
    let mut command = Lab::get().command("docker");
    command
        .args(["build", "-q", "--output", "type=tar,dest=-", "."])
        .current_dir(dir)
        .env("DOCKER_BUILDKIT", "1");
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    files(&out.stdout)
}

fn same(ours: &Files, theirs: &Files, what: &str) {
    let differ = |a: &Files, b: &Files| -> Vec<String> {
        let only = a.iter().filter(|(path, file)| b.get(*path) != Some(file));
        only.map(|(path, f)| format!("{path} {} {:o} {} {}", f.0, f.1, f.2, f.3)).collect()
    };
    let (ours, theirs) = (differ(ours, theirs), differ(theirs, ours));
    assert!(ours.is_empty() && theirs.is_empty(), "{what:?}: ours {ours:#?}, docker's {theirs:#?}");
}

const WITH_ORIGIN: &str = "FROM localhost:5000/busybox:1\nARG VERSION=dev\nARG COMMIT\nARG BUILT_AT\nARG EXTRA=none\n\
    RUN echo \"$VERSION $COMMIT $BUILT_AT $EXTRA\" > /origin\nCOPY . /app\n";

#[test]
#[ignore = "needs the lab: tests/run"]
fn an_image_is_pushed_by_its_commit_and_not_built_again() {
    let project = Project::new(
        "build-push",
        OPEN,
        &[("Dockerfile", WITH_ORIGIN), (".dockerignore", ".git"), ("main.txt", "one")],
    );
    let commit = project.commit();
    let built = project.image(&["--push", "--build-arg", "EXTRA=more"]);
    let tag = &commit[..12];
    assert_eq!(built["reference"], format!("{}:{tag}", project.repository), "{built:#}");
    assert_eq!((built["unchanged"].as_bool(), built["pushed"].as_bool()), (Some(false), Some(true)));
    let pushed = project.digest(tag).unwrap();
    assert_eq!(built["digest"], pushed);
    assert_eq!(built["pinned"], format!("{}@{pushed}", project.repository));
    let id = docker(&["image", "inspect", "-f", "{{.Id}}", &format!("{}:{tag}", project.repository)]);
    assert_eq!(built["imageId"], id);
    let label = |name: &str| {
        docker(&[
            "image",
            "inspect",
            "-f",
            &format!("{{{{index .Config.Labels \"org.opencontainers.image.{name}\"}}}}"),
            &id,
        ])
    };
    assert_eq!(
        (label("title"), label("version"), label("revision")),
        ("orders".into(), tag.to_owned(), commit.clone())
    );
    assert_eq!(label("created"), "2024-05-06T07:08:09Z");
    let origin = docker(&["run", "--rm", &id, "cat", "/origin"]);
    assert_eq!(origin, format!("{tag} {commit} 2024-05-06T07:08:09Z more"));

    // Nothing changed: the registry is asked, the engine is not.
    let args = ["--push", "--build-arg", "EXTRA=more"];
    let again = project.msctl(&[&args[..], &["-o", "json"]].concat()).env("DOCKER_HOST", GONE).run().ok();
    let again = again.json()["images"][0].clone();
    assert_eq!((again["unchanged"].as_bool(), &again["digest"]), (Some(true), &built["digest"]));
    // A new commit of the same files is a new name of the same image.
    project.git(&["commit", "-q", "--allow-empty", "-m", "y"]);
    let renamed = project
        .msctl(&[&args[..], &["--tag", "x1", "--tag", "x2", "-o", "json"]].concat())
        .env("DOCKER_HOST", GONE);
    assert_eq!(renamed.run().ok().json()["images"][0]["digest"], built["digest"]);
    assert_eq!((project.digest("x1"), project.digest("x2")), (Some(pushed.clone()), Some(pushed.clone())));
    // A changed file is another image, and said to be uncommitted.
    project.write("main.txt", "two");
    let run = project.msctl(&args).run().ok();
    assert!(run.stderr.contains("warning: orders: not committed: main.txt"), "{}", run.stderr);
    let head = &project.git(&["rev-parse", "HEAD"])[..12];
    assert!(run.stdout.contains(&format!(":{head}-dirty-")), "{}", run.stdout);
    // A release.
    project.git(&["commit", "-qam", "z"]);
    project.git(&["tag", "v1.2.3"]);
    let released = project.image(&args);
    assert_eq!((released["tag"].as_str(), released["unchanged"].as_bool()), (Some("v1.2.3"), Some(true)));
    assert_ne!(project.digest("v1.2.3"), Some(pushed));
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn without_a_push_the_engine_knows_what_is_unchanged() {
    let project =
        Project::new("build-local", OPEN, &[("Dockerfile", "FROM scratch\nCOPY . /\n"), ("a", "1")]);
    let first = project.image(&[]);
    assert_eq!((first["unchanged"].as_bool(), first["digest"].is_null()), (Some(false), true), "{first:#}");
    assert!(first["tag"].as_str().unwrap().starts_with("tree-"));
    let second = project.image(&["--tag", "mine"]);
    assert_eq!((second["unchanged"].as_bool(), &second["imageId"]), (Some(true), &first["imageId"]));
    assert_eq!(
        docker(&["image", "inspect", "-f", "{{.Id}}", &format!("{}:mine", project.repository)]),
        second["imageId"]
    );
    assert_eq!(project.image(&["--no-cache"])["unchanged"], false);
    // What was built is pushed without being built again.
    let run = project.msctl(&["--push"]).run().ok();
    assert!(!run.stderr.contains("build orders"), "{}", run.stderr);
    assert!(project.digest(first["tag"].as_str().unwrap()).is_some());
}

/// Patterns, and files that are in the context by them, all compared with what the docker CLI sends.
#[test]
#[ignore = "needs the lab: tests/run"]
fn the_context_is_what_the_docker_cli_sends() {
    let corpus = [
        "",
        "Dockerfile\n.dockerignore\n",
        "# comment\n\n  a.log  \n #not-a-comment\n",
        "\u{feff}a.log\r\nlogs/\r\n",
        "/a.log\n./logs/.\nsrc//deep\n",
        "*.log\n",
        "**/*.log\n!keep.log\n",
        "**\n!src\n",
        "*\n!src/deep\nsrc/deep/x.md\n",
        "*\n!src/*\n",
        "src\n!src/deep/\n",
        "logs/**\n",
        "**/deep\n",
        "**/deep/**\n",
        "src/**/x.*\n",
        "*/*.md\n",
        "?.log\n",
        "[a-c].log\n[^a]*.md\n",
        "\\#hash\n",
        "sp ace\n",
        "ümlaut*\n",
        "SRC\nA.log\n",
        "link\nlinkdir\n",
        "!a.log\n*.log\n",
        "node_modules\n!node_modules/kept/index.js\n",
        "empty\n",
        "a.*\n!a.log\n*.log\n!keep.log\n",
        "../a.log\n..\n.\n/\n",
    ];
    let names = [
        "a.log",
        "b.log",
        "keep.log",
        "README.md",
        "#hash",
        "sp ace",
        "ümlaut.txt",
        ".hidden",
        "logs/a.log",
        "logs/deep/b.log",
        "src/main.go",
        "src/x.md",
        "src/deep/x.md",
        "src/deep/y.go",
        "src/deep/er/x.log",
        "node_modules/kept/index.js",
        "node_modules/kept/other.js",
        "node_modules/gone/index.js",
    ];
    let project = Project::new("build-ignore", OPEN, &[("Dockerfile", "FROM scratch\nCOPY . /ctx/\n")]);
    names.iter().for_each(|name| project.write(name, name));
    std::fs::create_dir(project.dir.join("empty")).unwrap();
    symlink("a.log", project.dir.join("link")).unwrap();
    symlink("src/deep", project.dir.join("linkdir")).unwrap();
    symlink("/nowhere", project.dir.join("dangling")).unwrap();
    for (path, mode) in [("a.log", 0o600), ("src/main.go", 0o755), ("src/deep", 0o700), ("b.log", 0o4755)] {
        std::fs::set_permissions(project.dir.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    for patterns in corpus {
        project.write(".dockerignore", patterns);
        let theirs = files_of_docker_cli(&project.dir);
        let built = project.image(&[]);
        let ours = files_of_image(built["reference"].as_str().unwrap());
        same(&ours, &theirs, patterns);
    }
    // The file beside the Dockerfile comes first.
    project.write("Dockerfile.dockerignore", "*.log\n");
    let theirs = files_of_docker_cli(&project.dir);
    assert_eq!(files_of_image(project.image(&[])["reference"].as_str().unwrap()), theirs);
    assert!(!theirs.contains_key("a.log") && theirs.contains_key("logs/a.log"));
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn ten_thousand_files_are_asked_for_one_by_one() {
    let project = Project::new("build-many", OPEN, &[("Dockerfile", "FROM scratch\nCOPY . /ctx/\n")]);
    for n in 0..10_000 {
        let path = project.dir.join(format!("d{}/f{n}", n % 100));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("file {n}")).unwrap();
    }
    let ours = files_of_image(project.image(&[])["reference"].as_str().unwrap());
    let contents = ours.iter().filter(|(path, file)| path.contains("/f") && file.4.starts_with(b"file "));
    assert_eq!(contents.count(), 10_000);
    assert_eq!(ours["d99/f9999"].4, b"file 9999");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_changed_tree_is_sent_in_part_and_ends_the_same() {
    let project = Project::new(
        "build-change",
        OPEN,
        &[("Dockerfile", "FROM scratch\nCOPY . /ctx/\n"), ("d/a", "1"), ("d/b", "2"), ("c", "3")],
    );
    project.image(&[]);
    project.write("d/a", "one");
    std::fs::remove_file(project.dir.join("d/b")).unwrap();
    std::fs::remove_file(project.dir.join("c")).unwrap();
    project.write("c/now-a-folder", "4");
    project.write("big", &"0123456789abcdef".repeat(400_000));
    let ours = files_of_image(project.image(&[])["reference"].as_str().unwrap());
    same(&ours, &files_of_docker_cli(&project.dir), "a changed tree");
    assert_eq!(ours["big"].4.len(), 6_400_000);
    assert!(!ours.contains_key("d/b"));
    // Same size, same time, other content: only the hash tells.
    let time = std::fs::metadata(project.dir.join("d/a")).unwrap().modified().unwrap();
    std::fs::write(project.dir.join("d/a"), "eno").unwrap();
    std::fs::File::options().write(true).open(project.dir.join("d/a")).unwrap().set_modified(time).unwrap();
    let ours = files_of_image(project.image(&[])["reference"].as_str().unwrap());
    assert_eq!(ours["d/a"].4, b"eno");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn the_classic_builder_steps_in_and_sends_the_same() {
    let project = Project::new(
        "build-classic",
        OPEN,
        &[("Dockerfile", "FROM scratch\nCOPY . /ctx/\n"), ("a", "1"), ("b/c", "2")],
    );
    project.write(".dockerignore", "Dockerfile\n.dockerignore\n");
    let run = project.msctl(&["-o", "ndjson"]).env("DOCKER_BUILDKIT", "0").run().ok();
    assert!(run.stdout.contains("classic builder (DOCKER_BUILDKIT=0)"), "{}", run.stdout);
    let last: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    let image = &last["result"]["images"][0];
    same(
        &files_of_image(image["reference"].as_str().unwrap()),
        &files_of_docker_cli(&project.dir),
        "classic",
    );

    project.write("Dockerfile", &format!("FROM {BUSYBOX}\nRUN --mount=type=cache,target=/x true\n"));
    let run = project.msctl(&["-o", "json"]).env("DOCKER_BUILDKIT", "0").run().exits(1);
    assert_eq!(run.json()["error"]["reason"], "needs-buildkit", "{}", run.stdout);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_private_registry_wants_a_login_before_the_build() {
    let project = Project::new("build-login", PRIVATE, &[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let none = project.error(&["--push"]);
    assert_eq!(none["reason"], "login-needed", "{none:#}");
    assert_eq!(none["hints"][0], format!("docker login {PRIVATE}"));
    project
        .docker_config(&format!(r#"{{"auths": {{"{PRIVATE}": {{"auth": "bGFiOndyb25nLXBhc3N3b3Jk"}}}}}}"#));
    let run = project.msctl(&["--push", "-vvv"]).run().exits(1);
    assert!(run.stderr.contains("refuses this login"), "{}", run.stderr);
    assert!(!run.stderr.contains("wrong-password") && !run.stderr.contains("bGFiOndyb25n"), "{}", run.stderr);
    project.docker_config(&format!(r#"{{"credHelpers": {{"{PRIVATE}": "nowhere"}}}}"#));
    let missing = project.error(&["--push"]);
    let hint = missing["hints"][0].as_str().unwrap();
    assert!(
        hint.contains("docker-credential-nowhere") && hint.contains(&format!("credHelpers.{PRIVATE}")),
        "{missing:#}"
    );
    let images = docker(&["image", "ls", "-q", &project.repository]);
    assert_eq!(images, "", "nothing was built before the login was known to be wrong");

    project.docker_config(&format!(r#"{{"auths": {{"{PRIVATE}": {{"auth": "bGFiOnNlY3JldA=="}}}}}}"#));
    let run = project.msctl(&["--push", "-vvv", "-o", "json"]).run().ok();
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("bGFiOnNlY3JldA"));
    let built = run.json()["images"][0].clone();
    assert_eq!(built["digest"].as_str().map(str::to_owned), project.digest(built["tag"].as_str().unwrap()));
    assert_eq!(project.image(&["--push"])["unchanged"], true);

    let bin = project.ns.home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let helper = bin.join("docker-credential-lab");
    std::fs::write(
        &helper,
        "#!/bin/sh\ncat >/dev/null\necho '{\"Username\":\"lab\",\"Secret\":\"secret\"}'\n",
    )
    .unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    project.docker_config(r#"{"credsStore": "lab"}"#);
    project.write("new", "1");
    let path = format!("{}:{}", bin.display(), project.ns.lab.path);
    project.msctl(&["--push"]).env("PATH", path).run().ok();
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_failing_step_is_named_with_its_last_lines() {
    let text = format!(
        "FROM {BUSYBOX} AS build\nRUN true\nRUN seq 1 50; echo main.go:3: undefined: x >&2; exit 3\n"
    );
    let project = Project::new("build-fails", OPEN, &[("Dockerfile", &text)]);
    let error = project.error(&["--push"]);
    assert_eq!(error["reason"], "build-failed", "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("RUN seq 1 50"), "{error:#}");
    let cause = error["causes"][0].as_str().unwrap();
    assert!(cause.contains("exit code: 3") && cause.contains("\n50\nmain.go:3: undefined: x"), "{cause}");
    assert!(!cause.contains("\n1\n"), "only the tail: {cause}");
    assert_eq!(project.digest("latest"), None);

    project.write("Dockerfile", "FROM scratch\nCPY a b\n");
    let run = project.msctl(&["-o", "json"]).run().exits(2);
    assert_eq!(run.json()["error"]["reason"], "bad-dockerfile", "{}", run.stdout);
    project.write("Dockerfile", "FROM scratch\nCOPY nothing /\n");
    assert!(project.error(&[])["causes"][0].as_str().unwrap().contains("nothing"));
    project.write("Dockerfile", "FROM localhost:5000/there/is/none:1\n");
    let error = project.error(&[]);
    assert_eq!(error["reason"], "base-image", "{error:#}");
    project.write("Dockerfile", "FROM scratch AS one\nCOPY . /\n");
    let run = project.msctl(&["--target", "two", "-o", "json"]).run().exits(2);
    assert_eq!(run.json()["error"]["reason"], "unknown-stage", "{}", run.stdout);
    let full = format!("FROM {BUSYBOX}\nRUN echo 'write: No space left on device'; exit 1\n");
    project.write("Dockerfile", &full);
    assert_eq!(project.error(&[])["reason"], "disk-full");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn secrets_reach_the_step_and_nothing_else() {
    let text = format!(
        "FROM {BUSYBOX} AS test\nRUN --mount=type=secret,id=token grep -q '^hunter.$' /run/secrets/token\n\
         RUN --mount=type=secret,id=file grep -q '^sword.ish$' /run/secrets/file\nCOPY . /\n"
    );
    let project =
        Project::new("build-secret", OPEN, &[("Dockerfile", &text), (".dockerignore", "secret.txt")]);
    project.write("secret.txt", "swordfish");
    let args = [
        "--secret",
        "id=token,env=MY_TOKEN",
        "--secret",
        "id=file,src=secret.txt",
        "--target",
        "test",
        "-vvv",
    ];
    let run = project.msctl(&args).env("MY_TOKEN", "hunter2").run().ok();
    let all = format!("{}{}", run.stdout, run.stderr);
    assert!(!all.contains("hunter2") && !all.contains("swordfish"), "{all}");
    let missing = project.msctl(&["--secret", "id=token,env=NONE", "-o", "json"]).run().exits(2);
    assert_eq!(missing.json()["error"]["reason"], "no-secret");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn several_platforms_are_one_image_at_the_registry() {
    let project = Project::new("build-platforms", OPEN, &[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let args = ["--push", "--platform", "linux/amd64", "--platform", "linux/arm64/v8"];
    let built = project.image(&args);
    let tag = built["tag"].as_str().unwrap();
    assert_eq!(built["digest"].as_str().map(str::to_owned), project.digest(tag), "{built:#}");
    let (host, name) = project.repository.split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let accept = "application/vnd.docker.distribution.manifest.list.v2+json";
    write!(stream, "GET /v2/{name}/manifests/{tag} HTTP/1.0\r\nAccept: {accept}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let index: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    let platforms: Vec<String> =
        index["manifests"].as_array().unwrap().iter().map(|m| m["platform"].to_string()).collect();
    assert_eq!(
        platforms,
        [
            r#"{"os":"linux","architecture":"amd64"}"#,
            r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#
        ]
    );
    let again = project.msctl(&[&args[..], &["-o", "json"]].concat()).env("DOCKER_HOST", GONE).run().ok();
    assert_eq!(again.json()["images"][0]["unchanged"], true);

    // As a base image it lacks other platforms.
    project.write("Dockerfile", &format!("FROM {}\nCOPY . /\n", built["pinned"].as_str().unwrap()));
    let error = project.error(&["--platform", "linux/s390x"]);
    assert_eq!(error["reason"], "platform-unavailable", "{error:#}");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn an_interrupt_stops_the_build_and_pushes_nothing() {
    let text = format!("FROM {BUSYBOX}\nRUN echo begun-$((40+2)) && sleep 60\n");
    let project = Project::new("build-stop", OPEN, &[("Dockerfile", &text)]);
    let running = project.msctl(&["--push", "-v", "--tag", "t"]).limit(Duration::from_secs(40)).spawn();
    running.says("begun-42", 30);
    running.signal("INT");
    let run = running.wait().exits(130);
    assert!(run.stderr.contains("interrupted; nothing was pushed"), "{}", run.stderr);
    assert!(run.took < Duration::from_secs(35));
    assert_eq!(project.digest("t"), None);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn progress_is_plain_lines_and_events() {
    let text = format!("FROM {BUSYBOX}\nRUN echo loud; echo line2\nCOPY . /\n");
    let project = Project::new("build-lines", OPEN, &[("Dockerfile", &text)]);
    let run = project.msctl(&["--no-cache"]).run().ok();
    assert!(
        run.stderr.contains("RUN echo loud") && !run.stderr.contains('\u{1b}') && !run.stderr.contains('\r'),
        "{}",
        run.stderr
    );
    let run = project.msctl(&["--no-cache", "-o", "ndjson"]).run().ok();
    let events: Vec<Value> = run.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |kind: &str| events.iter().filter(|e| e["type"] == kind).count();
    assert!(of("build-step") >= 2 && of("build-log") >= 2 && of("result") == 1, "{}", run.stdout);
    assert_eq!(events.last().unwrap()["result"]["schema"], "msctl.dev/build/v1");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn an_edit_of_the_dockerfile_that_keeps_its_length_is_built() {
    let project = Project::new("same-length", OPEN, &[]);
    for version in ["1", "2"] {
        project.write("Dockerfile", &format!("FROM {BUSYBOX}\nENV RELEASE={version}\n"));
        let image = project.image(&["--push"]);
        let id = image["imageId"].as_str().unwrap();
        let out = project.ns.lab.command("docker").args(["image", "inspect", id]).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(text.contains(&format!("RELEASE={version}")), "{text}");
    }
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn bases_are_pinned_in_the_dockerfile_and_renewed() {
    let project = Project::new("pins", OPEN, &[]);
    let base = format!("{OPEN}/{}/base", project.ns.name);
    let docker = |args: &[&str], input: &str| {
        let mut command = project.ns.lab.command("docker");
        let command = command.env("DOCKER_BUILDKIT", "1").args(args).stdin(std::process::Stdio::piped());
        let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    };
    let publish = |version: &str| {
        docker(
            &["build", "-q", "-t", &format!("{base}:1"), "-"],
            &format!("FROM {BUSYBOX}\nENV BASE={version}\n"),
        );
        docker(&["push", "-q", &format!("{base}:1")], "");
        digest(&base, "1").unwrap()
    };
    let file = |pin: &str| {
        format!("# as a template has it\nARG BASE={base}:1{pin}\nFROM ${{BASE}}\nCOPY msctl.yaml /\n")
    };
    let first = publish("one");
    project.write("Dockerfile", &file(""));
    let loose = project.image(&["--push"]);
    assert_eq!(loose["bases"], serde_json::json!([{"image": format!("{base}:1"), "digest": null}]));
    let pinned = project.image(&["--push", "--pin"]);
    let read = || std::fs::read_to_string(project.dir.join("Dockerfile")).unwrap();
    assert_eq!(read(), file(&format!("@{first}")));
    assert_eq!(pinned["bases"][0]["digest"], first.as_str());
    assert_eq!(project.image(&["--push", "--pin"])["unchanged"], true);

    // The tag moves: only who asks gets the new one.
    let second = publish("two");
    assert_ne!(first, second);
    assert_eq!(project.image(&["--push"])["unchanged"], true);
    let renewed = project.image(&["--push", "--pin"]);
    assert_eq!(read(), file(&format!("@{second}")));
    let id = renewed["imageId"].as_str().unwrap();
    let out = project.ns.lab.command("docker").args(["image", "inspect", id]).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("BASE=two"), "{text}");

    let elsewhere = project.msctl(&["--pin", "--build-arg", &format!("BASE={BUSYBOX}")]).run().ok();
    assert!(elsewhere.stderr.contains("is not pinned"), "{}", elsewhere.stderr);
    assert_eq!(read(), file(&format!("@{second}")));
}
