//! The live picture of a rollout: both slots' pods, the traffic, the steps and the clock, the gates, the newest events.
//! Pure drawing; the driver supplies frames and the ui redraws them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::analysis::{MetricStatus, RESTARTS, TallyPhase};
use super::{Phase, Slot, SlotStatus, Status};
use crate::ui::Paint;

/// One moment of a rollout.
#[derive(Debug, Clone)]
pub struct Frame {
    /// For the headline: `this machine`, `context prod, namespace shop`.
    pub place: String,
    pub status: Status,
    /// When the rollout began.
    pub started: Option<Timestamp>,
    pub now: Timestamp,
    pub steps: Vec<StepLine>,
    /// Pods asked for, by slot.
    pub desired: Vec<(Slot, u32)>,
    /// What each metric last came to, newest last.
    pub values: BTreeMap<String, Vec<f64>>,
    /// Newest last.
    pub events: Vec<(Timestamp, String)>,
}

/// A step as the plan has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepLine {
    /// `weight 10`, `pause 2m`, `pause`.
    pub label: String,
    pub progress: StepProgress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepProgress {
    Done,
    /// Until when it lasts, where it has an end of its own.
    Now(Option<Timestamp>),
    Todo,
}

const EVENTS: usize = 6;
/// More pods than this are told as a number.
const DOTS: u32 = 24;
/// Below this width words give way.
const NARROW: usize = 60;
/// With fewer lines than this nothing stands apart.
const SHORT: usize = 14;

impl Frame {
    /// The same moment, so much later: its clocks have gone on.
    pub fn after(&self, passed: std::time::Duration) -> Frame {
        let passed = SignedDuration::try_from(passed).unwrap_or_default();
        Frame { now: self.now + passed, ..self.clone() }
    }
}

/// At most `rows` lines, none wider than the terminal. What matters least goes first: events, then gates that passed.
pub fn draw(frame: &Frame, paint: &Paint, rows: usize) -> String {
    let mut lines = vec![headline(frame, paint)];
    let slots = &frame.status.slots;
    let roles = [("live", &slots.live), ("candidate", &slots.candidate), ("previous", &slots.previous)];
    lines.extend(roles.iter().filter_map(|(role, slot)| Some(slot_line(role, slot.as_ref()?, frame, paint))));
    lines.extend(traffic_line(frame, paint));
    if !frame.steps.is_empty() {
        lines.push(format!("  {:<10}{}", "steps", steps_line(frame, paint)));
    }
    let airy = rows >= SHORT;
    if airy {
        lines.insert(1, String::new());
    }
    let room = rows.saturating_sub(lines.len());
    let gates = gate_lines(frame, paint, room);
    if airy && !gates.is_empty() {
        lines.push(String::new());
    }
    lines.extend(gates);
    let room = rows.saturating_sub(lines.len() + usize::from(airy)).min(EVENTS);
    if airy && room > 0 && !frame.events.is_empty() {
        lines.push(String::new());
    }
    for (time, text) in frame.events.iter().rev().take(room).rev() {
        let clock = time.to_string();
        let clock = clock.get(11..19).unwrap_or(&clock);
        lines.push(format!("  {}  {}", paint.dim(clock), text.replace(['\n', '\r', '\t'], " ")));
    }
    lines.truncate(rows.max(1));
    lines.iter().map(|line| paint.fit(line)).collect::<Vec<_>>().join("\n")
}

fn headline(frame: &Frame, paint: &Paint) -> String {
    let status = &frame.status;
    let phase = status.phase.name();
    let (phase, over) = match status.phase {
        Phase::Healthy => (paint.green(phase), true),
        Phase::Paused => (paint.yellow(phase), false),
        Phase::Aborted | Phase::Degraded => (paint.red(phase), true),
        Phase::Progressing | Phase::Absent => (paint.cyan(phase), false),
    };
    let mut text = format!("{}  {phase}", paint.bold(&status.service));
    if let Some(strategy) = &status.strategy {
        text += &format!("  {strategy}");
    }
    if let Some(step) = status.step {
        text += &format!("  step {}/{}", step.index, step.count);
    }
    if let Some(started) = frame.started {
        let until = status.since.filter(|_| over).unwrap_or(frame.now);
        text += &format!("  {}", clock(until.duration_since(started)));
    }
    text + &paint.dim(format!("  {}", frame.place))
}

/// One line a metric, the troubled ones first where there is no room for all.
fn gate_lines(frame: &Frame, paint: &Paint, room: usize) -> Vec<String> {
    // Restarts are told once there are some.
    let quiet = |g: &&MetricStatus| {
        !(g.metric == RESTARTS && g.value.as_ref().and_then(|v| v.as_f64()).unwrap_or(0.0) == 0.0)
    };
    let mut gates: Vec<&MetricStatus> = frame.status.analysis.iter().filter(quiet).collect();
    let all = gates.len();
    if all > room {
        gates.sort_by_key(|g| matches!(g.phase, TallyPhase::Successful | TallyPhase::Waiting));
        gates.truncate(room);
    }
    let name = gates.iter().map(|g| console::measure_text_width(&g.metric)).max().unwrap_or(0).clamp(8, 16);
    gates.into_iter().map(|gate| gate_line(gate, frame, name, paint)).collect()
}

fn gate_line(gate: &MetricStatus, frame: &Frame, name: usize, paint: &Paint) -> String {
    let (sign, word) = match gate.phase {
        TallyPhase::Waiting => (paint.dim("·"), paint.dim("waits")),
        TallyPhase::Running => (paint.cyan("▶"), String::new()),
        TallyPhase::Successful => (paint.green("✓"), String::new()),
        TallyPhase::Failed => (paint.red("✗"), paint.red("failed")),
        TallyPhase::Inconclusive => (paint.yellow("?"), paint.yellow("inconclusive")),
        TallyPhase::Error => (paint.red("!"), paint.red("error")),
    };
    let narrow = paint.width < NARROW;
    let width = if narrow { 6 } else { 16 };
    let limit = gate.limit.as_ref().and_then(|l| l.as_f64());
    let values = frame.values.get(&gate.metric).map_or(&[][..], Vec::as_slice);
    let spark = sparkline(values, limit, width);
    let pad = " ".repeat(width.saturating_sub(spark.chars().count()));
    let title = console::pad_str(&gate.metric, name, console::Alignment::Left, Some("…"));
    let value = gate.value_text().unwrap_or_else(|| "–".into());
    let mut text = format!("  {sign} {} {}{pad} {:>8}", paint.bold(title), paint.cyan(spark), value);
    if let Some(threshold) = &gate.threshold {
        text += &format!(" {}", paint.dim(threshold));
    }
    if let Some(live) = gate.live.filter(|_| !narrow) {
        text += &paint.dim(format!("  live {}", gate.unit.show(live)));
    }
    if !word.is_empty() {
        text += &format!("  {word}");
    }
    match (&gate.message, gate.samples) {
        (Some(why), _) if gate.phase != TallyPhase::Successful => text + &paint.dim(format!("  {why}")),
        (_, Some(samples)) if samples > 0 => text + &paint.dim(format!("  {samples} requests")),
        _ => text,
    }
}

/// The last values as bars; the limit is where the scale ends, unless they are above it.
fn sparkline(values: &[f64], limit: Option<f64>, width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &values[values.len().saturating_sub(width)..];
    let top = shown.iter().copied().filter(|v| v.is_finite()).fold(limit.unwrap_or(0.0), f64::max);
    let bar = |value: &f64| {
        let part = if top > 0.0 && value.is_finite() { (value / top).clamp(0.0, 1.0) } else { 0.0 };
        BARS[((part * 8.0).ceil() as usize).clamp(1, 8) - 1]
    };
    shown.iter().map(bar).collect()
}

fn slot_colour(slot: Slot, paint: &Paint, text: impl std::fmt::Display) -> String {
    match slot {
        Slot::Blue => paint.blue(text),
        Slot::Green => paint.green(text),
    }
}

fn slot_line(role: &str, slot: &SlotStatus, frame: &Frame, paint: &Paint) -> String {
    let desired = frame.desired.iter().find(|(s, _)| *s == slot.slot.slot).map_or(slot.replicas, |(_, n)| *n);
    let narrow = paint.width < NARROW;
    let name = slot_colour(slot.slot.slot, paint, format!("{:<6}", slot.slot.name()));
    let mut text = match narrow {
        true => format!("  {role:<10}{name}r{:<3}", slot.revision),
        false => format!("  {role:<10}{name} rev {:<4}", slot.revision),
    };
    let whole = desired.max(slot.replicas);
    if whole <= if narrow { 6 } else { DOTS } {
        for index in 0..whole {
            text += &if index < slot.available {
                slot_colour(slot.slot.slot, paint, "●")
            } else if index < slot.ready {
                paint.yellow("◐")
            } else {
                paint.dim("○")
            };
        }
        text += &" ".repeat((6_usize).saturating_sub(whole as usize));
    }
    text += &format!(" {}/{desired}{}", slot.available, if narrow { "" } else { " available" });
    if let Some(until) = slot.until {
        text += &format!("  kept for {}", clock(until.duration_since(frame.now)));
    }
    text + &paint.dim(format!("  {}", short_image(&slot.image)))
}

/// The last part of the repository and the digest's first 12 characters.
fn short_image(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@{}", digest.get(..12).unwrap_or(digest)),
        None => name.to_owned(),
    }
}

fn traffic_line(frame: &Frame, paint: &Paint) -> Option<String> {
    let (live, candidate) = (frame.status.slots.live.as_ref()?, frame.status.slots.candidate.as_ref()?);
    let weight = frame.status.weight.actual.unwrap_or(frame.status.weight.desired).min(100);
    let width = match paint.width {
        0..NARROW => paint.width.saturating_sub(23).clamp(4, 20),
        wide => (wide - 52).clamp(10, 40),
    };
    let mut filled = width * usize::from(weight) / 100;
    if weight > 0 {
        filled = filled.max(1);
    }
    let bar = slot_colour(live.slot.slot, paint, "█".repeat(width - filled))
        + &slot_colour(candidate.slot.slot, paint, "▒".repeat(filled));
    if paint.width < NARROW {
        return Some(format!("  {:<10}{bar} {weight} %", "traffic"));
    }
    Some(format!(
        "  {:<10}{bar}  {} % {} · {weight} % {}",
        "traffic",
        100 - weight,
        live.slot.name(),
        candidate.slot.name()
    ))
}

fn steps_line(frame: &Frame, paint: &Paint) -> String {
    let shown = frame.steps.iter().map(|step| match step.progress {
        StepProgress::Done => format!("{} {}", paint.green("✓"), step.label),
        StepProgress::Now(until) => {
            let left = until.map(|until| format!(" ({} left)", clock(until.duration_since(frame.now))));
            paint.bold(format!("▶ {}{}", step.label, left.unwrap_or_default()))
        }
        StepProgress::Todo => paint.dim(format!("· {}", step.label)),
    });
    // A long list scrolls with the step it is at, so that the present is always in sight.
    let current = frame.steps.iter().position(|s| s.progress != StepProgress::Done).unwrap_or(0);
    let skip = current.saturating_sub(if paint.width < NARROW { 0 } else { 2 });
    let shown: Vec<String> = shown.skip(skip).collect();
    if skip > 0 { format!("… {}", shown.join("  ")) } else { shown.join("  ") }
}

/// `0:42`, `12:03`, `1:02:03`; never negative.
fn clock(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::analysis::Unit;
    use crate::rollout::{Slots, StepStatus, WeightStatus};

    fn frame(candidates: u32) -> Frame {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let slot = |slot, revision, replicas, available| SlotStatus {
            slot: crate::rollout::Seat { slot, adopted: false },
            revision,
            image: format!("localhost:5000/shop/orders@sha256:{}", "0123456789abcdef".repeat(4)),
            replicas,
            ready: available,
            available,
            until: None,
        };
        Frame {
            place: "context kind, namespace shop".into(),
            started: Some(at("2026-01-01T12:00:00Z")),
            now: at("2026-01-01T12:00:42Z"),
            steps: vec![
                StepLine { label: "weight 20".into(), progress: StepProgress::Done },
                StepLine {
                    label: "pause 1m".into(),
                    progress: StepProgress::Now(Some(at("2026-01-01T12:01:00Z"))),
                },
                StepLine { label: "weight 100".into(), progress: StepProgress::Todo },
            ],
            desired: vec![(Slot::Blue, 3), (Slot::Green, candidates)],
            values: BTreeMap::from([
                ("errors".to_owned(), vec![0.0, 0.002, 0.004, 0.01]),
                ("p99".to_owned(), (0..40).map(f64::from).collect()),
            ]),
            events: (0..9)
                .map(|n| (at("2026-01-01T12:00:41Z"), format!("event {n}: 日本語 weight")))
                .collect(),
            status: Status {
                service: "orders".into(),
                phase: Phase::Progressing,
                reason: "pausing".into(),
                message: String::new(),
                strategy: Some("canary".into()),
                step: Some(StepStatus { index: 2, count: 3 }),
                weight: WeightStatus { desired: 20, actual: Some(20), measured: None },
                slots: Slots {
                    live: Some(slot(Slot::Blue, 1, 3, 3)),
                    candidate: Some(slot(Slot::Green, 2, candidates, 1)),
                    previous: None,
                },
                analysis: vec![
                    gate("p99", TallyPhase::Successful, 0.0213, 0.025, "≤ 1.2x"),
                    gate("errors", TallyPhase::Failed, 0.01, 0.005, "≤ 0.5 %"),
                    gate(RESTARTS, TallyPhase::Running, 0.0, 0.0, "≤ 0"),
                ],
                holder: None,
                undriven_since: None,
                since: None,
            },
        }
    }

    fn gate(name: &str, phase: TallyPhase, value: f64, limit: f64, threshold: &str) -> MetricStatus {
        let unit = if name == "errors" { Unit::Share } else { Unit::Seconds };
        MetricStatus {
            metric: name.into(),
            phase,
            unit,
            value: Some(value.into()),
            limit: Some(limit.into()),
            measurements: 4,
            samples: Some(312),
            live: (name == "p99").then_some(0.0201),
            threshold: Some(threshold.into()),
            message: (phase == TallyPhase::Failed).then(|| "0.01 is above 0.005".to_owned()),
        }
    }

    #[test]
    fn a_frame_tells_slots_traffic_steps_and_clock() {
        let drawn = draw(&frame(2), &Paint::PLAIN, 40);
        for part in [
            "orders  progressing  canary  step 2/3  0:42",
            "live      blue   rev 1   ●●●",
            "candidate green  rev 2   ●○",
            "1/2 available",
            "80 % blue · 20 % green",
            "✓ weight 20  ▶ pause 1m (0:18 left)  · weight 100",
            "✓ p99      ▅▆▆▆▆▆▇▇▇▇▇██",
            "21.3 ms ≤ 1.2x  live 20.1 ms  312 requests",
            "✗ errors   ▁▂▄█",
            "1 % ≤ 0.5 %  failed  0.01 is above 0.005",
            "12:00:41  event 8: 日本語",
        ] {
            assert!(drawn.contains(part), "{part:?} is not in\n{drawn}");
        }
        assert!(!drawn.contains(RESTARTS), "none restarted:\n{drawn}");
        assert!(!drawn.contains("event 2"), "the six newest:\n{drawn}");
    }

    #[test]
    fn clocks_go_on_between_two_frames() {
        let later = frame(2).after(std::time::Duration::from_secs(10));
        let drawn = draw(&later, &Paint::PLAIN, 40);
        assert!(drawn.contains("0:52") && drawn.contains("(0:08 left)"), "{drawn}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for (width, rows) in [(20, 30), (40, 30), (60, 12), (100, 8), (100, 3), (59, 1)] {
            for candidates in [2, 1000] {
                let paint = Paint { color: true, width };
                let drawn = draw(&frame(candidates), &paint, rows);
                assert!(drawn.lines().count() <= rows, "{rows}: {drawn}");
                for line in drawn.lines() {
                    assert!(console::measure_text_width(line) <= width, "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn what_fails_is_seen_on_the_smallest_screen() {
        let drawn = draw(&frame(2), &Paint { color: false, width: 40 }, 6);
        for part in ["orders", "live      blue  r1", "candidate green r2", "traffic", "✗ errors"] {
            assert!(drawn.contains(part), "{part:?} is not in\n{drawn}");
        }
        assert!(!drawn.contains("event"), "{drawn}");
    }
}
