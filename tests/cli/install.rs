//! install.sh: from an archive with a checksum, refused when the download is cut or altered.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh")
}

fn sh(folder: &Path, args: &[&str]) -> Output {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Command::new("sh")
        .arg(script())
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder)
        .output()
        .unwrap()
}

/// A release archive of the binary under test, and its checksum, in `folder`.
fn archive(folder: &Path) -> PathBuf {
    std::fs::create_dir(folder.join("msctl-1")).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_msctl"), folder.join("msctl-1/msctl")).unwrap();
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    run("tar", &["-czf", "msctl.tar.gz", "msctl-1"]);
    let sum = run("sha256sum", &["msctl.tar.gz"]);
    std::fs::write(folder.join("msctl.tar.gz.sha256"), sum).unwrap();
    folder.join("msctl.tar.gz")
}

#[test]
fn installs_program_completions_and_man_pages_and_removes_them() {
    let dir = tempfile::tempdir().unwrap();
    archive(dir.path());
    let output = sh(dir.path(), &["--archive", "msctl.tar.gz", "--prefix", "there"]);
    assert!(output.status.success(), "{output:?}");
    let made = ["bin/msctl", "share/man/man1/msctl-deploy.1", "share/zsh/site-functions/_msctl"];
    for file in made {
        assert!(dir.path().join("there").join(file).is_file(), "{file} is missing");
    }
    let output = sh(dir.path(), &["--uninstall", "--prefix", "there"]);
    assert!(output.status.success(), "{output:?}");
    assert!(made.iter().all(|file| !dir.path().join("there").join(file).exists()));
}

#[test]
fn a_cut_or_unchecked_archive_installs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = archive(dir.path());
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let output = sh(dir.path(), &["--archive", "msctl.tar.gz", "--prefix", "there"]);
    assert!(!output.status.success() && !dir.path().join("there").exists(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("checksum"), "{output:?}");
    std::fs::write(&file, &whole).unwrap();
    std::fs::remove_file(dir.path().join("msctl.tar.gz.sha256")).unwrap();
    let output = sh(dir.path(), &["--archive", "msctl.tar.gz", "--prefix", "there"]);
    assert!(!output.status.success() && !dir.path().join("there").exists(), "{output:?}");
}

/// What CI does: the script from a pipe, in the folder of a service that has a Cargo.toml of its own.
#[test]
fn piped_into_a_shell_it_fetches_and_never_builds_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    archive(dir.path());
    let service = dir.path().join("service");
    std::fs::create_dir(&service).unwrap();
    std::fs::write(service.join("Cargo.toml"), "[package]\nname = \"orders\"\n").unwrap();
    let piped = |args: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-s", "--"]).args(args).current_dir(&service);
        command.stdin(std::fs::File::open(script()).unwrap()).output().unwrap()
    };
    let output = piped(&["--prefix", "there"]);
    assert!(!output.status.success() && !service.join("there").exists(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("neither --archive nor"), "{output:?}");

    let release = serve(dir.path().to_owned());
    let output = piped(&["--archive", &format!("{release}/msctl.tar.gz"), "--prefix", "there"]);
    assert!(output.status.success() && service.join("there/bin/msctl").is_file(), "{output:?}");
    let output = piped(&["--archive", &format!("{release}/gone.tar.gz"), "--prefix", "elsewhere"]);
    assert!(!output.status.success() && !service.join("elsewhere").exists(), "{output:?}");
}

/// Answers requests for the files of `folder`, until the tests end.
fn serve(folder: PathBuf) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let name = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
            let (status, body) = match std::fs::read(folder.join(name)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // A client that does not want the rest has gone.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    address
}

/// Cut after any line the script itself must do nothing: it only acts in its last line.
#[test]
fn a_cut_script_does_nothing() {
    let text = std::fs::read_to_string(script()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for cut in (1..lines.len()).step_by(7) {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("part.sh");
        std::fs::write(&part, lines[..cut].join("\n")).unwrap();
        let output = Command::new("sh")
            .arg(&part)
            .args(["--prefix", "there"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(!dir.path().join("there").exists(), "cut after line {cut}: {output:?}");
    }
}
