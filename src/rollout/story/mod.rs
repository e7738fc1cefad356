//! What is kept of a deploy for those who come later: what happened, the traffic and the pods over time, every
//! measurement, log lines that only the candidate wrote, the commits. Bounded; no decision ever rests on it.
//! Pure but for `keeper` and `logs`, which read and write.

mod adjust;
mod judge;
mod keeper;
mod lines;
mod logs;
mod recorder;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::analysis::{Judging, Measure, Measurement};
use super::state::{Cause, Deploy, DeployResult, State};
use super::{Motion, Slot, Step};

pub use adjust::adjust;
pub use judge::{Change, Judged, MetricJudged, Would, judge};
pub use keeper::Keeper;
pub use lines::{Diverging, Line, diverging, masked};
pub use recorder::Recorder;

pub const SCHEMA: &str = "msctl.dev/deploy-story/v1";
/// Bytes of one story as stored.
pub const LIMIT: usize = 192 * 1024;
const TOLD: usize = 300;
const POINTS: usize = 500;
const MEASUREMENTS: usize = 1000;

/// One deploy from its first write to its end, retries included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    pub schema: String,
    pub service: String,
    pub place: String,
    /// Of the driver that wrote it last.
    pub epoch: u64,
    pub deploy: u32,
    pub revision: u32,
    pub from: Option<u32>,
    pub strategy: String,
    pub by: String,
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    pub result: DeployResult,
    pub cause: Option<Cause>,
    /// By digest, or the build's hash.
    pub image: String,
    pub live_image: Option<String>,
    /// Where the new revision ran.
    pub slot: Slot,
    /// The new pods replaced the old ones where they were.
    pub in_place: bool,
    pub steps: Vec<String>,
    #[serde(default)]
    pub judging: Judging,
    /// 1, and one more for each retry.
    pub attempts: u32,
    pub told: Vec<Told>,
    pub points: Vec<Point>,
    pub measurements: Vec<Reading>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Diverging>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commits: Option<Commits>,
    /// What did not fit.
    #[serde(default)]
    pub left_out: LeftOut,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub at: Timestamp,
    /// Of the event, as scripts know it.
    pub kind: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
    pub text: String,
}

/// Traffic and pods at one moment; holds until the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    pub at: Timestamp,
    /// Percent of the requests that the candidate should have.
    pub wanted: u8,
    /// What it had, as observed.
    pub had: Option<u8>,
    /// Available pods of the new and of the old revision.
    pub new: u32,
    pub old: u32,
}

/// One reading of one metric, whether or not it was enough to judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    #[serde(flatten)]
    pub measured: Measurement,
    /// Which try of the deploy it belongs to.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub attempt: u32,
}

fn first() -> u32 {
    1
}
fn is_first(attempt: &u32) -> bool {
    *attempt == 1
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeftOut {
    pub told: u32,
    pub points: u32,
    pub measurements: u32,
}

/// What git says lies between the two revisions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commits {
    pub from: String,
    pub to: String,
    /// The new revision is the older commit: these are taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
    /// Newest first.
    pub list: Vec<Commit>,
    /// There are more than are listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub id: String,
    pub at: Timestamp,
    pub author: String,
    pub subject: String,
}

impl Story {
    /// A kept story, and what the state knows of its end: the driver may have had no time to keep it.
    pub fn known(
        kept: Option<Story>,
        service: &str,
        place: &str,
        state: &State,
        number: u32,
    ) -> Option<Story> {
        let Some(mut story) = kept else { return Story::of(service, place, state, number) };
        if let Some(deploy) = state.deploys.iter().find(|d| d.number == number) {
            story.follow(state, deploy);
        }
        Some(story)
    }

    /// What the state alone tells of deploy `number`.
    pub fn of(service: &str, place: &str, state: &State, number: u32) -> Option<Story> {
        let deploy = state.deploys.iter().find(|d| d.number == number)?;
        let image = |revision: u32| state.revision(revision).map(|r| r.image.clone());
        let mut story = Story {
            schema: SCHEMA.into(),
            service: service.to_owned(),
            place: place.to_owned(),
            epoch: state.epoch,
            deploy: number,
            revision: deploy.revision,
            from: deploy.from,
            strategy: match (deploy.from, deploy.undo) {
                (None, _) => "first deploy".into(),
                (_, true) => format!("undo ({})", deploy.strategy),
                (_, false) => deploy.strategy.to_string(),
            },
            by: deploy.by.clone(),
            began: deploy.at,
            ended: None,
            result: deploy.result,
            cause: None,
            image: image(deploy.revision).unwrap_or_default(),
            live_image: deploy.from.and_then(image),
            slot: state.live.map_or(Slot::Blue, |l| l.slot),
            in_place: deploy.in_place || deploy.from.is_none(),
            steps: Vec::new(),
            judging: Judging::default(),
            attempts: 1,
            told: Vec::new(),
            points: Vec::new(),
            measurements: Vec::new(),
            lines: None,
            commits: None,
            left_out: LeftOut::default(),
        };
        story.follow(state, deploy);
        Some(story)
    }

    /// Takes over what the state says now.
    fn follow(&mut self, state: &State, deploy: &Deploy) {
        (self.result, self.ended, self.epoch) = (deploy.result, deploy.ended, state.epoch);
        let Some(rollout) = state.rollout.as_ref().filter(|r| r.deploy == self.deploy) else { return };
        self.cause = rollout.cause.clone().map(|c| Cause {
            message: masked(&c.message),
            log: c.log.iter().map(|l| masked(l)).collect(),
            ..c
        });
        if self.steps.is_empty() {
            self.steps = rollout.plan.steps.iter().map(Step::label).collect();
            self.judging = without_headers(&rollout.plan.judging);
        }
        self.in_place = matches!(rollout.plan.motion, Motion::First | Motion::InPlace);
        if let Some(candidate) = state.candidate {
            self.slot = candidate.slot;
        }
    }

    pub fn parse(body: &str) -> Option<Story> {
        serde_json::from_str(body).ok().filter(|s: &Story| s.schema == SCHEMA)
    }

    /// The story as stored: made to fit, the newest and the worst kept longest.
    pub fn body(&mut self) -> String {
        self.fit();
        loop {
            let body = serde_json::to_string(self).unwrap_or_default();
            if body.len() <= LIMIT {
                return body;
            }
            // Halves the longest part, so this ends.
            let sizes = [self.measurements.len(), self.points.len(), self.told.len()];
            match sizes.iter().max() {
                Some(0) | None => {
                    self.lines = None;
                    self.cause = None;
                    return serde_json::to_string(self).unwrap_or_default();
                }
                Some(most) if *most == sizes[0] => self.left_out.measurements += thin(&mut self.measurements),
                Some(most) if *most == sizes[1] => self.left_out.points += thin(&mut self.points),
                Some(_) => self.left_out.told += thin(&mut self.told),
            }
        }
    }

    fn fit(&mut self) {
        while self.told.len() > TOLD {
            // Pods come and go by the thousand; the points have them too.
            let before = self.told.len();
            let surplus = before - TOLD;
            let mut dropped = 0;
            self.told.retain(|t| {
                let drop = t.kind == "pods" && dropped < surplus;
                dropped += usize::from(drop);
                !drop
            });
            self.left_out.told += (before - self.told.len()) as u32;
            if self.told.len() > TOLD {
                self.left_out.told += thin(&mut self.told);
            }
        }
        while self.points.len() > POINTS {
            self.left_out.points += thin(&mut self.points);
        }
        while self.measurements.len() > MEASUREMENTS {
            self.left_out.measurements += thin(&mut self.measurements);
        }
    }

    /// The last readings of `metric`, oldest first.
    pub fn of_metric<'a>(&'a self, metric: &'a str) -> impl DoubleEndedIterator<Item = &'a Measurement> {
        self.measurements.iter().map(|r| &r.measured).filter(move |m| m.metric == metric)
    }
}

/// Drops every second of the older half, but never the first; how many.
fn thin<T>(items: &mut Vec<T>) -> u32 {
    let (before, half, mut at) = (items.len(), items.len().div_ceil(2), 0);
    items.retain(|_| {
        at += 1;
        at > half || at % 2 == 1
    });
    if items.len() == before {
        items.pop();
    }
    (before - items.len()) as u32
}

/// Headers of a web gate may be credentials.
fn without_headers(judging: &Judging) -> Judging {
    let mut judging = judging.clone();
    for metric in &mut judging.metrics {
        if let Measure::Web { headers, .. } = &mut metric.measure {
            headers.values_mut().for_each(|value| *value = "…".into());
        }
    }
    judging
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn story() -> Story {
        let mut state = State::default();
        state.number("h1", "image@1", Timestamp::UNIX_EPOCH);
        state.deploys.push(Deploy {
            number: 1,
            revision: 1,
            from: None,
            strategy: crate::service::Strategy::Canary,
            in_place: false,
            undo: false,
            at: Timestamp::UNIX_EPOCH,
            ended: None,
            result: DeployResult::Progressing,
            reason: None,
            by: "someone".into(),
        });
        Story::of("orders", "here", &state, 1).unwrap()
    }

    fn measurement(n: usize) -> Measurement {
        let at = Timestamp::from_second(n as i64).unwrap();
        Measurement {
            metric: "errors".into(),
            slot: Slot::Green,
            revision: 1,
            weight: 10,
            inline: false,
            from: at,
            at,
            seen: Some(Default::default()),
            last: false,
            verdict: None,
        }
    }

    #[test]
    fn a_story_always_fits_and_keeps_its_ends() {
        let mut story = story();
        let at = |n: usize| Timestamp::from_second(n as i64).unwrap();
        for n in 0..20_000 {
            story.told.push(Told {
                at: at(n),
                kind: if n % 10 == 0 { "step" } else { "pods" }.into(),
                warning: false,
                text: format!("{n} {}", "x".repeat(300)),
            });
            story.points.push(Point { at: at(n), wanted: 10, had: Some(10), new: n as u32, old: 3 });
            story.measurements.push(Reading { measured: measurement(n), attempt: 1 });
        }
        let body = story.body();
        assert!(body.len() <= LIMIT, "{}", body.len());
        let back = Story::parse(&body).unwrap();
        assert_eq!(back, story);
        assert!(back.told.first().unwrap().text.starts_with("0 "), "the beginning is kept");
        assert!(back.told.last().unwrap().kind == "step" || back.told.last().unwrap().text.contains("1999"));
        assert_eq!(back.points.last().unwrap().new, 19_999, "the end is kept");
        assert_eq!(back.measurements.len() + back.left_out.measurements as usize, 20_000);
        assert_eq!(back.told.len() + back.left_out.told as usize, 20_000);
    }

    #[test]
    fn another_schema_is_not_read() {
        let mut story = story();
        story.schema = "msctl.dev/deploy-story/v9".into();
        assert_eq!(Story::parse(&serde_json::to_string(&story).unwrap()), None);
        assert_eq!(Story::parse("{}"), None);
    }

    #[test]
    fn credentials_of_a_gate_stay_out() {
        let text = "service: a\nrollout: {analysis: {metrics: [{name: w, web: {url: 'http://a/', headers: {authorization: 'Bearer s3cret'}}}]}}\n";
        let service = crate::service::parse_yaml(text, std::path::Path::new("msctl.yaml")).unwrap();
        let kept = without_headers(&Judging::resolve(&service).unwrap());
        let text = serde_json::to_string(&kept).unwrap();
        assert!(text.contains("authorization") && !text.contains("s3cret"), "{text}");
    }
}
