//! The tour where it cannot be given; `tests/templates/demo.rs` takes it.

use crate::run::{Home, Ran};

fn left(home: &Home) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(home.dir.path()).unwrap().map(|e| e.unwrap().path()).collect()
}

#[test]
fn without_a_toolchain_it_says_which_would_do() {
    let home = Home::new();
    for args in [&["demo"] as &[&str], &["demo", "--template", "rust-axum"]] {
        let mut command = home.command(args);
        let ran = Ran::of(command.env("PATH", home.dir.path()).output().unwrap());
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
        assert!(ran.stderr.contains("hint: install Go"), "{ran:#?}");
    }
    let ran = home.run(&["demo", "--template", "cobol"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("go, python-fastapi and rust-axum"), "{ran:#?}");
    assert_eq!(left(&home), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_kept_tour_overwrites_nothing() {
    let home = Home::new();
    std::fs::create_dir(home.dir.path().join("demo")).unwrap();
    let tools = tempfile::tempdir().unwrap();
    std::fs::write(tools.path().join("go"), "").unwrap();
    let mut command = home.command(&["demo", "--keep"]);
    let ran = Ran::of(command.env("PATH", tools.path()).output().unwrap());
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("is there already") && ran.stderr.contains("-C DIR"), "{ran:#?}");
    assert_eq!(left(&home), [home.dir.path().join("demo")]);
}
