//! The live picture of a rollout: both slots' pods, the traffic, the steps and the clock, the newest events.
//! Pure drawing; the driver supplies frames and the ui redraws them.

use jiff::{SignedDuration, Timestamp};

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

/// Lines no wider than the terminal.
pub fn draw(frame: &Frame, paint: &Paint) -> String {
    let mut lines = vec![headline(frame, paint), String::new()];
    let slots = &frame.status.slots;
    let rows = [("live", &slots.live), ("candidate", &slots.candidate), ("previous", &slots.previous)];
    for (role, slot) in rows {
        if let Some(slot) = slot {
            lines.push(slot_line(role, slot, frame, paint));
        }
    }
    if let Some(traffic) = traffic_line(frame, paint) {
        lines.push(traffic);
    }
    if !frame.steps.is_empty() {
        lines.push(format!("  {:<10}{}", "steps", steps_line(frame, paint)));
    }
    if !frame.events.is_empty() {
        lines.push(String::new());
    }
    for (time, text) in frame.events.iter().rev().take(EVENTS).rev() {
        let clock = time.to_string();
        let clock = clock.get(11..19).unwrap_or(&clock);
        lines.push(format!("  {}  {}", paint.dim(clock), text.replace('\n', " ")));
    }
    lines.iter().map(|line| paint.fit(line)).collect::<Vec<_>>().join("\n")
}

fn headline(frame: &Frame, paint: &Paint) -> String {
    let status = &frame.status;
    let phase = status.phase.name();
    let phase = match status.phase {
        Phase::Healthy => paint.green(phase),
        Phase::Paused => paint.yellow(phase),
        Phase::Aborted | Phase::Degraded => paint.red(phase),
        Phase::Progressing | Phase::Absent => paint.cyan(phase),
    };
    let mut text = format!("{}  {phase}", paint.bold(&status.service));
    if let Some(strategy) = &status.strategy {
        text += &format!("  {strategy}");
    }
    if let Some(step) = status.step {
        text += &format!("  step {}/{}", step.index, step.count);
    }
    if let Some(started) = frame.started {
        text += &format!("  {}", clock(frame.now.duration_since(started)));
    }
    text + &paint.dim(format!("  {}", frame.place))
}

fn slot_colour(slot: Slot, paint: &Paint, text: impl std::fmt::Display) -> String {
    match slot {
        Slot::Blue => paint.blue(text),
        Slot::Green => paint.green(text),
    }
}

fn slot_line(role: &str, slot: &SlotStatus, frame: &Frame, paint: &Paint) -> String {
    let desired = frame.desired.iter().find(|(s, _)| *s == slot.slot).map_or(slot.replicas, |(_, n)| *n);
    let name = slot_colour(slot.slot, paint, format!("{:<6}", slot.slot.name()));
    let mut text = format!("  {role:<10}{name} rev {:<4}", slot.revision);
    let whole = desired.max(slot.replicas);
    if whole <= DOTS {
        for index in 0..whole {
            text += &if index < slot.available {
                slot_colour(slot.slot, paint, "●")
            } else if index < slot.ready {
                paint.yellow("◐")
            } else {
                paint.dim("○")
            };
        }
        text += &" ".repeat((6_usize).saturating_sub(whole as usize));
    }
    text += &format!(" {}/{desired} available", slot.available);
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
    let width = paint.width.saturating_sub(52).clamp(10, 40);
    let mut filled = width * usize::from(weight) / 100;
    if weight > 0 {
        filled = filled.max(1);
    }
    let bar = slot_colour(live.slot, paint, "█".repeat(width - filled))
        + &slot_colour(candidate.slot, paint, "▒".repeat(filled));
    Some(format!(
        "  {:<10}{bar}  {} % {} · {weight} % {}",
        "traffic",
        100 - weight,
        live.slot,
        candidate.slot
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
    let skip = current.saturating_sub(2);
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
    use crate::rollout::{Slots, StepStatus, WeightStatus};

    fn frame(candidates: u32) -> Frame {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let slot = |slot, revision, replicas, available| SlotStatus {
            slot,
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
            events: vec![(at("2026-01-01T12:00:41Z"), "weight 20 % on green".into())],
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
                analysis: vec![],
                holder: None,
                undriven_since: None,
                since: None,
            },
        }
    }

    #[test]
    fn a_frame_tells_slots_traffic_steps_and_clock() {
        let drawn = draw(&frame(2), &Paint::PLAIN);
        for part in [
            "orders  progressing  canary  step 2/3  0:42",
            "live      blue   rev 1   ●●●",
            "candidate green  rev 2   ●○",
            "1/2 available",
            "80 % blue · 20 % green",
            "✓ weight 20  ▶ pause 1m (0:18 left)  · weight 100",
            "12:00:41  weight 20 % on green",
        ] {
            assert!(drawn.contains(part), "{part:?} is not in\n{drawn}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [40, 60, 100] {
            for candidates in [2, 1000] {
                let paint = Paint { color: true, width };
                for line in draw(&frame(candidates), &paint).lines() {
                    assert!(console::measure_text_width(line) <= width, "{width}: {line}");
                }
            }
        }
    }
}
