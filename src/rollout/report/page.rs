//! The report's sections. Pure.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::chart::{Chart, Series, since};
use super::escape;
use crate::rollout::analysis::{Measure, Measurement, Metric, TallyPhase, Unit};
use crate::rollout::story::{Story, Would, judge};
use crate::rollout::{DeployResult, Slot};
use crate::service::Bound;

const STYLE: &str = include_str!("style.css");

/// The whole file. `now` is told where the rollout is still under way.
pub fn html(story: &Story, now: Timestamp) -> String {
    let latest = story.points.last().map(|p| p.at).into_iter().chain(story.told.last().map(|t| t.at)).max();
    // What comes after the end, as a slot that is drained, belongs to the timeline, not to the charts.
    let end = story.ended.or(latest).unwrap_or(now);
    let span = (story.began, end.max(story.began + SignedDuration::from_secs(1)));
    let title = format!("{} · deploy {}", story.service, story.deploy);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"generator\" content=\"msctl {}\">\n<title>{}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n",
        env!("CARGO_PKG_VERSION"),
        escape(&title)
    );
    out += &head(story, now);
    out += &charts(story, span);
    out += &gates(story);
    out += &lines(story);
    out += &commits(story);
    out += &timeline(story);
    out += &footer(story, now);
    out + "</main></body></html>\n"
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Class and word of the outcome.
fn outcome(story: &Story) -> (&'static str, String) {
    let refused = story.cause.as_ref().is_some_and(|c| c.reason != "aborted");
    match story.result {
        DeployResult::Healthy => ("good", format!("Healthy: revision {} serves", story.revision)),
        DeployResult::Aborted if refused => {
            ("bad", format!("Refused: revision {} was taken back", story.revision))
        }
        DeployResult::Aborted => ("warn", format!("Aborted: revision {} was taken back", story.revision)),
        DeployResult::Failed => ("bad", format!("Failed: revision {}", story.revision)),
        DeployResult::Superseded => ("warn", "Superseded: another deploy began before its end".into()),
        DeployResult::Progressing => ("", format!("Under way: revision {}", story.revision)),
    }
}

fn head(story: &Story, now: Timestamp) -> String {
    let (class, word) = outcome(story);
    let mut out = format!(
        "<header><h1>{} <span class=\"dim\">· deploy {}</span></h1>\n<p class=\"dim\">{} to revision {}{}, {}</p></header>\n",
        escape(&story.service),
        story.deploy,
        escape(&story.strategy),
        story.revision,
        story.from.map(|f| format!(" from revision {f}")).unwrap_or_default(),
        escape(&story.place)
    );
    let _ = write!(out, "<section class=\"verdict {class}\"><p><strong>{}</strong></p>", escape(&word));
    if let Some(cause) = &story.cause {
        let pod = cause.pod.as_ref().map(|p| format!(" <span class=\"dim\">(pod {})</span>", escape(p)));
        let _ = write!(out, "<p>{}{}</p>", escape(&cause.message), pod.unwrap_or_default());
        let _ = write!(out, "<p class=\"dim\">reason <code>{}</code></p>", escape(&cause.reason));
        if !cause.log.is_empty() {
            let _ = write!(out, "<pre>{}</pre>", escape(&cause.log.join("\n")));
        }
    }
    out += "</section>\n<dl>\n";
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{value}</dd>");
    };
    let took = since(story.began, story.ended.unwrap_or(now));
    let ended = match story.ended {
        Some(ended) => format!("{} <span class=\"dim\">after {took}</span>", stamp(ended)),
        None => format!("not yet <span class=\"dim\">({took} so far, at {})</span>", stamp(now)),
    };
    fact("Began", format!("{} <span class=\"dim\">by {}</span>", stamp(story.began), escape(&story.by)));
    fact("Ended", ended);
    fact("New", format!("<code>{}</code>", escape(&story.image)));
    if let Some(image) = &story.live_image {
        fact("Before", format!("<code>{}</code>", escape(image)));
    }
    if !story.steps.is_empty() {
        fact("Steps", escape(&story.steps.join(" → ")));
    }
    if story.attempts > 1 {
        fact("Attempts", story.attempts.to_string());
    }
    out + "</dl>\n"
}

fn class(slot: Slot) -> &'static str {
    match slot {
        Slot::Blue => "blue",
        Slot::Green => "green",
    }
}

fn charts(story: &Story, span: (Timestamp, Timestamp)) -> String {
    if story.points.is_empty() && story.measurements.is_empty() {
        return "<h2>Traffic and pods</h2>\n<p class=\"dim\">Nothing was kept of this deploy but its outcome.</p>\n".into();
    }
    let mut out = String::from("<h2>Traffic and pods</h2>\n");
    let (new, old) = (class(story.slot), class(story.slot.other()));
    if !story.in_place {
        out += &weights(story, span, new);
    }
    out += &pods(story, span, new, old);
    let judged: Vec<&Metric> = story
        .judging
        .metrics
        .iter()
        .filter(|m| story.of_metric(&m.name).any(|r| r.candidate().value.is_some()))
        .filter(|m| m.measure != Measure::Restarts || restarted(story, m))
        .collect();
    if !judged.is_empty() {
        out += "<h2>Measurements</h2>\n";
        for (index, metric) in judged.into_iter().enumerate() {
            out += &measured(story, span, metric, index, new, old);
        }
    }
    out
}

fn restarted(story: &Story, metric: &Metric) -> bool {
    story.of_metric(&metric.name).any(|m| m.candidate().value.is_some_and(|v| v > 0.0))
}

fn marks(story: &Story) -> Vec<(Timestamp, &'static str, String)> {
    let mark = |kind: &str| match kind {
        "refused" => Some(("bad", "refused")),
        "healthy" => Some(("good", "healthy")),
        "degraded" => Some(("bad", "failed")),
        "aborted" => Some(("warn", "taken back")),
        "paused" => Some(("warn", "paused")),
        "took-over" => Some(("", "taken over")),
        _ => None,
    };
    story
        .told
        .iter()
        .filter_map(|t| mark(&t.kind).map(|(class, text)| (t.at, class, text.to_owned())))
        .collect()
}

fn weights(story: &Story, span: (Timestamp, Timestamp), new: &'static str) -> String {
    let until = |at: &Timestamp| *at <= span.1;
    let points = || story.points.iter().filter(|p| until(&p.at));
    let had: Vec<(Timestamp, f64)> = points().filter_map(|p| Some((p.at, f64::from(p.had?)))).collect();
    let wanted: Vec<(Timestamp, f64)> = points().map(|p| (p.at, f64::from(p.wanted))).collect();
    let most = had.iter().map(|v| v.1).fold(0.0, f64::max);
    let series = vec![
        Series {
            name: format!("revision {} gets", story.revision),
            class: new,
            dashed: false,
            steps: true,
            dots: false,
            values: changes(had),
        },
        Series {
            name: "wanted".into(),
            class: "wanted",
            dashed: true,
            steps: true,
            dots: false,
            values: changes(wanted),
        },
    ];
    Chart {
        id: "weights".into(),
        title: "Share of the requests".into(),
        about: format!("The candidate's share in percent over time; it reached {most} %."),
        height: 240.0,
        span,
        least: 100.0,
        most: Some(100.0),
        series,
        marks: marks(story),
        show: &|v| format!("{v:.0} %"),
    }
    .html()
}

fn pods(story: &Story, span: (Timestamp, Timestamp), new: &'static str, old: &'static str) -> String {
    let points = || story.points.iter().filter(|p| p.at <= span.1);
    let mut series = vec![Series {
        name: format!("revision {}", story.revision),
        class: new,
        dashed: false,
        steps: true,
        dots: false,
        values: changes(points().map(|p| (p.at, f64::from(p.new))).collect()),
    }];
    if let Some(from) = story.from {
        series.push(Series {
            name: format!("revision {from}"),
            class: old,
            dashed: true,
            steps: true,
            dots: false,
            values: changes(points().map(|p| (p.at, f64::from(p.old))).collect()),
        });
    }
    Chart {
        id: "pods".into(),
        title: "Available pods".into(),
        about: "Available pods of the new and of the old revision over time.".into(),
        height: 180.0,
        span,
        least: 1.0,
        most: None,
        series,
        marks: if story.in_place { marks(story) } else { Vec::new() },
        show: &|v| if v.fract().abs() < 1e-9 { format!("{v:.0}") } else { String::new() },
    }
    .html()
}

/// Without the points that say what the one before said.
fn changes(mut values: Vec<(Timestamp, f64)>) -> Vec<(Timestamp, f64)> {
    values.dedup_by(|b, a| a.1 == b.1);
    values
}

fn measured(
    story: &Story,
    span: (Timestamp, Timestamp),
    metric: &Metric,
    index: usize,
    new: &'static str,
    old: &'static str,
) -> String {
    let unit = Unit::of(&metric.measure);
    let all: Vec<&Measurement> = story.of_metric(&metric.name).filter(|m| m.at <= span.1).collect();
    let candidate: Vec<_> = all.iter().filter_map(|m| Some((m.at, m.candidate().value?))).collect();
    let live: Vec<_> = all.iter().filter_map(|m| Some((m.at, m.live()?.value?))).collect();
    let limit: Vec<_> = match metric.bounds.max.or(metric.bounds.min) {
        Some(Bound::Value(limit)) => vec![(span.0, limit), (span.1, limit)],
        Some(bound) => live.iter().filter_map(|(at, v)| Some((*at, bound.against(Some(*v))?))).collect(),
        None => Vec::new(),
    };
    let worst = candidate.iter().map(|v| v.1).fold(0.0, f64::max);
    let mut series = vec![Series {
        name: format!("revision {}", story.revision),
        class: new,
        dashed: false,
        steps: false,
        dots: true,
        values: candidate,
    }];
    if !live.is_empty() {
        let name = story.from.map_or("live".into(), |f| format!("revision {f}"));
        series.push(Series { name, class: old, dashed: true, steps: false, dots: true, values: live });
    }
    if !limit.is_empty() {
        let name = format!("limit {}", metric.limit_text().unwrap_or_default());
        series.push(Series { name, class: "limit", dashed: true, steps: false, dots: false, values: limit });
    }
    let what = match metric.measure {
        Measure::ErrorRate => "error rate".to_owned(),
        Measure::Latency(q) => format!("latency, {} of the requests are faster", Unit::Share.show(q)),
        Measure::Distribution => "median latency".to_owned(),
        Measure::Restarts => "restarts of containers".to_owned(),
        Measure::Smoke { .. } => "share of msctl's own requests that failed".to_owned(),
        _ => "value".to_owned(),
    };
    Chart {
        id: format!("metric-{index}"),
        title: format!("{}: {what}", metric.name),
        about: format!(
            "{what} of both revisions over time; the highest of the candidate is {}.",
            unit.show(worst)
        ),
        height: 220.0,
        span,
        least: 0.0,
        most: None,
        series,
        marks: marks(story),
        show: &|v| unit.show(v),
    }
    .html()
}

fn gates(story: &Story) -> String {
    if story.judging.is_empty() {
        return "<h2>Verdicts</h2>\n<p class=\"dim\">This deploy was not judged by measurements.</p>\n"
            .into();
    }
    let judged = judge(story, &story.judging);
    let mut out = String::from(
        "<h2>Verdicts</h2>\n<div class=\"wide\"><table><thead><tr><th scope=\"col\">Metric</th><th scope=\"col\">Limit</th>\
         <th scope=\"col\">Verdict</th><th scope=\"col\" class=\"number\">Measurements</th><th scope=\"col\" class=\"number\">Failed</th>\
         <th scope=\"col\" class=\"number\">Highest</th><th scope=\"col\">Why</th></tr></thead><tbody>\n",
    );
    for gate in &judged.metrics {
        let (class, word) = match gate.phase {
            Some(TallyPhase::Successful) => ("good", "passed"),
            Some(TallyPhase::Failed) => ("bad", "failed"),
            Some(TallyPhase::Error) => ("bad", "error"),
            Some(TallyPhase::Inconclusive) => ("warn", "inconclusive"),
            Some(TallyPhase::Running) if story.ended.is_some() => ("", "undecided"),
            Some(TallyPhase::Running) => ("", "running"),
            Some(TallyPhase::Waiting) | None => ("", "not measured"),
        };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"{class}\">{word}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"text\">{}</td></tr>",
            escape(&gate.metric),
            escape(gate.limit.as_deref().unwrap_or("")),
            gate.measurements,
            gate.failures,
            gate.worst.map(|v| gate.unit.show(v)).unwrap_or_default(),
            escape(gate.why.as_deref().unwrap_or(""))
        );
    }
    out += "</tbody></table></div>\n";
    if let Would::Refused { at, metric, .. } = &judged.would {
        let _ = writeln!(
            out,
            "<p class=\"dim\">Decided by {} after {}.</p>",
            escape(metric),
            since(story.began, *at)
        );
    }
    out
}

fn lines(story: &Story) -> String {
    let Some(lines) = &story.lines else { return String::new() };
    let mut out = String::from("<h2>Log lines that only the new revision writes</h2>\n");
    let compared = format!("{} lines compared with {} of the revision before", lines.candidate, lines.live);
    if lines.list.is_empty() {
        let _ = writeln!(out, "<p class=\"dim\">None; {compared}.</p>");
        return out;
    }
    out += "<div class=\"wide\"><table><thead><tr><th scope=\"col\" class=\"number\">Times</th><th scope=\"col\">Line</th></tr></thead><tbody>\n";
    for line in &lines.list {
        let class = if line.trouble { " class=\"warn\"" } else { "" };
        let _ = writeln!(
            out,
            "<tr{class}><td class=\"number\">{}</td><td class=\"text mono\">{}</td></tr>",
            line.count,
            escape(&line.text)
        );
    }
    out += "</tbody></table></div>\n";
    let more = if lines.more { "; there are more kinds than these" } else { "" };
    let _ = writeln!(
        out,
        "<p class=\"dim\">{compared}; numbers, times and identifiers do not make a difference{more}. What looks like a credential is left out.</p>"
    );
    out
}

fn commits(story: &Story) -> String {
    let Some(commits) = &story.commits else { return String::new() };
    let short = |id: &str| escape(&id.chars().take(12).collect::<String>());
    let title = if commits.back { "Commits taken back" } else { "Commits" };
    let mut out = format!(
        "<h2>{title}</h2>\n<p class=\"dim\"><code>{}</code> … <code>{}</code></p>\n",
        short(&commits.from),
        short(&commits.to)
    );
    if commits.list.is_empty() {
        return out + "<p class=\"dim\">None that touches the service's folder.</p>\n";
    }
    out += "<div class=\"wide\"><table><thead><tr><th scope=\"col\">Commit</th><th scope=\"col\">Subject</th><th scope=\"col\">Author</th><th scope=\"col\">When</th></tr></thead><tbody>\n";
    for commit in &commits.list {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\"><code>{}</code></th><td class=\"text\">{}</td><td>{}</td><td>{}</td></tr>",
            short(&commit.id),
            escape(&commit.subject),
            escape(&commit.author),
            stamp(commit.at)
        );
    }
    out += "</tbody></table></div>\n";
    if commits.more {
        out += "<p class=\"dim\">There are more.</p>\n";
    }
    out
}

fn timeline(story: &Story) -> String {
    let mut out = String::from("<h2>Timeline</h2>\n");
    if story.told.is_empty() {
        return out + "<p class=\"dim\">Nothing was kept.</p>\n";
    }
    out += "<div class=\"wide\"><table><thead><tr><th scope=\"col\">After</th><th scope=\"col\">Time</th><th scope=\"col\">What happened</th></tr></thead><tbody>\n";
    for told in &story.told {
        let class = match told.kind.as_str() {
            "refused" | "degraded" => " class=\"bad\"",
            "healthy" => " class=\"good\"",
            _ if told.warning || told.kind == "paused" || told.kind == "aborted" => " class=\"warn\"",
            _ => "",
        };
        let _ = writeln!(
            out,
            "<tr{class}><th scope=\"row\">{}</th><td>{}</td><td class=\"text\">{}</td></tr>",
            since(story.began, told.at),
            told.at.strftime("%H:%M:%S"),
            escape(&told.text)
        );
    }
    out + "</tbody></table></div>\n"
}

fn footer(story: &Story, now: Timestamp) -> String {
    let mut out = format!("<footer><p>Made by msctl {} at {}.", env!("CARGO_PKG_VERSION"), stamp(now));
    let left = story.left_out;
    if left.told + left.points + left.measurements > 0 {
        let _ = write!(
            out,
            " To keep it small, {} events, {} points and {} measurements were left out.",
            left.told, left.points, left.measurements
        );
    }
    out + "</p></footer>\n"
}
