//! The builder's words as errors with a reason, a code and a next move.

use super::*;

fn order() -> Order {
    let empty = tempfile::tempdir().unwrap();
    let (context, _) = super::super::context::scan(
        empty.path(),
        &Default::default(),
        &super::super::stats::Stats::default(),
        None,
    )
    .unwrap();
    Order {
        service: "orders".into(),
        context: Arc::new(context),
        dockerfile: "Dockerfile".into(),
        dockerfile_text: b"FROM scratch".to_vec(),
        ignore_text: None,
        name: "localhost:5000/orders:v1".into(),
        arguments: BTreeMap::new(),
        labels: BTreeMap::new(),
        target: Some("test".into()),
        platform: Some("linux/arm64".into()),
        cache_from: vec![],
        no_cache: false,
        secrets: Arc::default(),
    }
}

#[test]
fn the_engines_words_get_a_reason_and_a_code() {
    let step = |name: &str, error: &str, lines: &[&str]| {
        Some((name.to_owned(), error.to_owned(), lines.iter().map(|l| l.to_string()).collect::<Vec<_>>()))
    };
    let run = "[build 5/6] RUN go build";
    let meta = "[internal] load metadata for docker.io/library/nope:1";
    for (text, step, reason, code) in [
        (
            "process \"/bin/sh -c go build\" did not complete successfully: exit code: 1",
            step(run, "exit code: 1", &["main.go:3: undefined: x"]),
            "build-failed",
            1,
        ),
        ("dockerfile parse error line 3: unknown instruction: RUNN", None, "bad-dockerfile", 2),
        (
            "Docker stream error: failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 1: unknown instruction: FRO",
            None,
            "bad-dockerfile",
            2,
        ),
        ("write /x: no space left on device", step(run, "no space left on device", &[]), "disk-full", 1),
        (
            "exit code: 1",
            step(run, "exit code: 1", &["cp: error writing '/x': No space left on device"]),
            "disk-full",
            1,
        ),
        (
            "docker.io/library/nope:1: not found: pull access denied, repository does not exist or may require authorization",
            step(meta, "pull access denied", &[]),
            "base-image",
            1,
        ),
        (
            "no match for platform in manifest sha256:12: not found",
            step(meta, "no match for platform in manifest", &[]),
            "platform-unavailable",
            1,
        ),
        (
            "exit code: 1",
            step(run, "exit code: 1", &["exec /bin/sh: exec format error"]),
            "platform-unavailable",
            1,
        ),
        ("target stage test could not be found", None, "unknown-stage", 2),
        (
            "the --mount option requires BuildKit.",
            step("Step 4/9 : RUN --mount=type=cache go build", "", &[]),
            "needs-buildkit",
            1,
        ),
    ] {
        let report = crate::error::report(&explain(&order(), text, step));
        assert_eq!((report.reason.as_str(), report.code), (reason, code), "{text}: {report:?}");
        assert!(report.message.contains("orders"), "{report:?}");
    }
}

#[test]
fn a_failed_step_shows_its_name_and_last_lines() {
    let lines = vec!["# shop/orders".to_owned(), "main.go:3: undefined: x".to_owned()];
    let error = explain(
        &order(),
        "failed to solve: exit code: 1",
        Some(("[2/3] RUN make".into(), "exit code: 2".into(), lines)),
    );
    let report = crate::error::report(&error);
    assert_eq!(report.message, "build orders: [2/3] RUN make");
    assert_eq!(report.causes, ["exit code: 2\n# shop/orders\nmain.go:3: undefined: x"]);
}
