//! The report of every kind of deploy, with hostile text in every place.

use super::*;
use crate::rollout::Slot;
use crate::rollout::analysis::{Judging, Measurement, Reading, Sighting};
use crate::rollout::state::{Cause, Deploy, DeployResult, State};
use crate::rollout::story::{Commit, Commits, Diverging, Line, Point, Reading as Kept, Story, Told};
use crate::service::Strategy;
use jiff::Timestamp;

const EVIL: &str = "</td><script>alert('x')</script><img src=https://evil.example/x onerror=alert(1)>";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_261_600 + second).unwrap()
}

fn bare(result: DeployResult) -> Story {
    let mut state = State::default();
    state.number("h1", "localhost:5000/shop/orders@sha256:1111", at(0));
    state.number("h2", "localhost:5000/shop/orders@sha256:2222", at(0));
    state.deploys.push(Deploy {
        number: 7,
        revision: 2,
        from: Some(1),
        strategy: Strategy::Canary,
        in_place: false,
        undo: false,
        at: at(0),
        ended: (result != DeployResult::Progressing).then(|| at(200)),
        result,
        reason: None,
        by: format!("ann@{EVIL}"),
    });
    Story::of("orders", "context prod, namespace shop", &state, 7).unwrap()
}

/// Everything a story can have, each text of it hostile.
fn full() -> Story {
    let text = "service: a\nrollout: {analysis: {metrics: [{name: errors, builtin: error-rate, max: 1%}, {name: p99, builtin: latency-p99, max: 1.2x}]}}\n";
    let service = crate::service::parse_yaml(text, std::path::Path::new("msctl.yaml")).unwrap();
    let mut story = bare(DeployResult::Aborted);
    story.slot = Slot::Green;
    story.judging = Judging::resolve(&service).unwrap();
    story.steps = vec![EVIL.into()];
    story.cause = Some(Cause {
        reason: "analysis-failed".into(),
        message: format!("metric errors: {EVIL}"),
        at: at(150),
        pod: Some(EVIL.into()),
        log: vec![EVIL.into()],
    });
    for n in 0..20 {
        let wanted = if n < 3 { 0 } else { 10 };
        story.points.push(Point { at: at(n * 10), wanted, had: Some(wanted), new: (n / 3) as u32, old: 4 });
        for (metric, value) in [("errors", 0.001 * n as f64), ("p99", 0.08 + 0.002 * n as f64)] {
            let reading = |value| Reading { value: Some(value), samples: 1000 };
            let seen = Sighting {
                candidate: reading(value),
                live: Some(reading(value / 2.0)),
                note: Some(EVIL.into()),
                ..Sighting::default()
            };
            let measured = Measurement {
                metric: metric.into(),
                slot: Slot::Green,
                revision: 2,
                weight: 10,
                inline: false,
                from: at(n * 10 - 10),
                at: at(n * 10),
                seen: Some(seen),
                last: true,
                verdict: None,
            };
            story.measurements.push(Kept { measured, attempt: 1 });
        }
    }
    for (n, kind) in ["rollout-started", "paused", "refused", "aborted"].into_iter().enumerate() {
        story.told.push(Told {
            at: at(n as i64 * 50),
            kind: kind.into(),
            warning: n == 2,
            text: EVIL.into(),
        });
    }
    story.lines = Some(Diverging {
        list: vec![Line { text: EVIL.into(), count: 3, trouble: true }],
        candidate: 10,
        live: 20,
        more: true,
    });
    let commit = |n: u8| Commit {
        id: format!("{n}").repeat(40),
        at: at(0),
        author: EVIL.into(),
        subject: EVIL.into(),
    };
    let (from, to) = ("a".repeat(40), "b".repeat(40));
    story.commits = Some(Commits { from, to, back: false, list: vec![commit(1), commit(2)], more: true });
    story
}

/// Every tag closed in order; attributes quoted.
fn well_formed(html: &str) {
    const VOID: [&str; 3] = ["meta", "br", "!DOCTYPE"];
    let mut open: Vec<String> = Vec::new();
    let body = html.replace(html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap(), "");
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("a lone < before {piece:?}"));
        assert!(!text.contains('>'), "a lone > in {text:?}");
        let name = tag.split([' ', '\n']).next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "{tag}");
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
}

#[test]
fn hostile_text_stays_text() {
    let page = html(&full(), at(300));
    well_formed(&page);
    assert!(!page.contains("<script") && !page.contains("<img"), "a tag of the text came through");
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
}

#[test]
fn it_needs_nothing_else() {
    let page = html(&full(), at(300)).replace(&escape(EVIL), "");
    for outside in ["http://", "https://", "src=", "href=", "url(", "@import", "<link", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("prefers-color-scheme:dark") && page.contains("@media print"));
}

#[test]
fn it_tells_the_verdict_the_charts_and_the_lines() {
    let page = html(&full(), at(300));
    for part in [
        "Refused: revision 2 was taken back",
        "Share of the requests",
        "Available pods",
        "errors: error rate",
        "p99: latency, 99 % of the requests are faster",
        "limit ≤ 1.2x",
        "Log lines that only the new revision writes",
        "<h2>Commits</h2>",
        "<h2>Timeline</h2>",
        "reason <code>analysis-failed</code>",
        "scope=\"col\"",
        "aria-labelledby=",
        "lang=\"en\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<svg class=\"chart\"").count(), page.matches("role=\"img\"").count());
}

#[test]
fn every_kind_of_deploy_has_a_report() {
    for (result, word) in [
        (DeployResult::Healthy, "Healthy: revision 2 serves"),
        (DeployResult::Aborted, "Aborted: revision 2 was taken back"),
        (DeployResult::Failed, "Failed: revision 2"),
        (DeployResult::Superseded, "another deploy began"),
        (DeployResult::Progressing, "Under way: revision 2"),
    ] {
        let page = html(&bare(result), at(60));
        well_formed(&page);
        assert!(page.contains(word), "{word}");
        assert!(page.contains("was not judged by measurements"));
        assert_eq!(page.contains("(1:00 so far"), result == DeployResult::Progressing);
    }
}

#[test]
fn text_is_cleaned_of_what_a_terminal_or_reader_would_act_on() {
    assert_eq!(escape("a\u{1b}[31m<b>\u{202e}\"'&"), "a[31m&lt;b&gt;&quot;&#39;&amp;");
}
