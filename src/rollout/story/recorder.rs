//! Writes a deploy's story while it is driven: told what the driver sees, asked for the text to store. Pure.

use jiff::Timestamp;

use super::{Commits, Diverging, Point, Reading, Story, Told, masked};
use crate::rollout::analysis::{Measurement, RESTARTS};
use crate::rollout::state::{DeployResult, State};
use crate::rollout::{Observation, Status};

/// Values that a sparkline shows.
const VALUES: usize = 32;

#[derive(Debug, Clone, Default)]
pub struct Recorder {
    story: Option<Story>,
    /// The deploy that was there before this driver: of its story there may be a stored beginning.
    known: Option<u32>,
    /// Something is not stored yet.
    dirty: bool,
    /// Values that must appear nowhere.
    hidden: Vec<String>,
    commits: Option<Commits>,
}

impl Recorder {
    /// `state` as it was before this driver.
    pub fn found(&mut self, state: &State) {
        self.known = state.rollout.as_ref().map(|r| r.deploy);
    }

    pub fn hide<'a>(&mut self, values: impl Iterator<Item = &'a String>) {
        // A short value would blot out half of every line.
        self.hidden = values.filter(|v| v.len() >= 4).cloned().collect();
    }

    pub fn commits(&mut self, commits: Option<Commits>) {
        self.commits = commits;
    }

    pub fn story(&self) -> Option<&Story> {
        self.story.as_ref()
    }

    /// The story may have begun under another driver.
    pub fn began_elsewhere(&self) -> bool {
        self.story.as_ref().is_some_and(|s| self.known == Some(s.deploy))
    }

    /// After every save of the state.
    pub fn follow(&mut self, service: &str, place: &str, state: &State) {
        let Some(rollout) = &state.rollout else { return };
        let same = self.story.as_ref().is_some_and(|s| s.deploy == rollout.deploy);
        if !same {
            // How a deploy ended that this driver did not drive is not its to tell.
            if rollout.stage.ended() && self.known == Some(rollout.deploy) {
                return;
            }
            self.story = Story::of(service, place, state, rollout.deploy);
            if let Some(story) = &mut self.story {
                story.commits = self.commits.take();
                self.dirty = true;
            }
            return;
        }
        let deploy = state.deploys.iter().find(|d| d.number == rollout.deploy);
        if let (Some(story), Some(deploy)) = (&mut self.story, deploy) {
            let (ended, result) = (story.ended, story.result);
            story.follow(state, deploy);
            if ended.is_some() && story.ended.is_none() {
                story.attempts += 1;
                story.lines = None;
            }
            self.dirty |= story.result != result || story.ended != ended;
        }
    }

    pub fn told(&mut self, at: Timestamp, kind: &str, warning: bool, line: &str) {
        let text = self.clean(line);
        if let Some(story) = &mut self.story {
            story.told.push(Told { at, kind: kind.to_owned(), warning, text });
            self.dirty = true;
        }
    }

    fn clean(&self, text: &str) -> String {
        let mut text = masked(text);
        for value in &self.hidden {
            text = text.replace(value.as_str(), "…");
        }
        match text.char_indices().nth(2000) {
            Some((end, _)) => text[..end].to_owned() + "…",
            None => text,
        }
    }

    /// After every observation.
    pub fn point(&mut self, status: &Status, seen: &Observation) {
        let Some(story) = self.story.as_mut().filter(|s| s.result == DeployResult::Progressing) else {
            return;
        };
        let of = |slot| seen.slots.get(&slot).cloned().unwrap_or_default();
        let (new, old) = (of(story.slot), of(story.slot.other()));
        let (new, old) = if new.revision != story.revision {
            (0, new.available + old.available)
        } else if story.in_place {
            (new.updated_available, new.available.saturating_sub(new.updated_available))
        } else {
            (new.updated_available, old.available)
        };
        let point =
            Point { at: seen.time, wanted: status.weight.desired, had: status.weight.actual, new, old };
        let last = story.points.last();
        if last.is_none_or(|p| Point { at: point.at, ..*p } != point) {
            story.points.push(point);
            self.dirty = true;
        }
    }

    /// What a decision made of the measurements.
    pub fn measured(&mut self, measurements: Vec<Measurement>) {
        let Some(story) = &mut self.story else { return };
        for measured in measurements {
            // Read with every observation, and hardly ever another one.
            let still = measured.metric == RESTARTS
                && story.of_metric(RESTARTS).next_back().is_some_and(|m| m.seen == measured.seen);
            if !still {
                story.measurements.push(Reading { measured, attempt: story.attempts });
                self.dirty = true;
            }
        }
    }

    pub fn lines(&mut self, mut lines: Diverging) {
        for line in &mut lines.list {
            line.text = self.clean(&line.text);
        }
        if let Some(story) = &mut self.story {
            story.lines = Some(lines);
            self.dirty = true;
        }
    }

    /// The stored beginning comes before what this driver saw.
    pub fn adopt(&mut self, earlier: Story) {
        self.known = None;
        let Some(story) = self.story.as_mut().filter(|s| s.deploy == earlier.deploy) else { return };
        // A write of our own whose answer was lost.
        let ours = !earlier.told.is_empty() && story.told.first() == earlier.told.first();
        if ours || story.began != earlier.began {
            return;
        }
        // A retry begins another attempt than the stored one.
        let retried = earlier.ended.is_some();
        let later = earlier.attempts - 1 + u32::from(retried);
        story.measurements.iter_mut().for_each(|m| m.attempt += later);
        story.attempts += later;
        prepend(&mut story.told, earlier.told);
        prepend(&mut story.points, earlier.points);
        prepend(&mut story.measurements, earlier.measurements);
        story.commits = earlier.commits.or(story.commits.take());
        story.lines = story.lines.take().or(earlier.lines.filter(|_| !retried));
        story.left_out = earlier.left_out;
        story.slot = if earlier.in_place { story.slot } else { earlier.slot };
    }

    /// Nothing of it was stored.
    pub fn adopt_nothing(&mut self) {
        self.known = None;
    }

    pub fn dirty(&self) -> bool {
        self.dirty && self.story.is_some()
    }

    /// The deploy's number and the text to store, if something is new.
    pub fn text(&mut self) -> Option<(u32, String)> {
        if !self.dirty {
            return None;
        }
        let story = self.story.as_mut()?;
        self.dirty = false;
        Some((story.deploy, story.body()))
    }

    /// The text was not stored after all.
    pub fn again(&mut self) {
        self.dirty = true;
    }

    /// What the candidate and the live slot had in the last measurements of `metric`, oldest first.
    pub fn values(&self, metric: &str) -> Vec<f64> {
        let Some(story) = &self.story else { return Vec::new() };
        let values = story.of_metric(metric).rev().filter_map(|m| m.seen.as_ref()?.candidate.value);
        let mut values: Vec<f64> = values.take(VALUES).collect();
        values.reverse();
        values
    }
}

fn prepend<T>(items: &mut Vec<T>, mut earlier: Vec<T>) {
    earlier.append(items);
    *items = earlier;
}
