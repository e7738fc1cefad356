//! The engine's half of the analysis: when a metric's windows open and close, what its verdicts do to the rollout,
//! and which measurements the driver is asked for. Pure.

use jiff::{SignedDuration, Timestamp};

use super::analysis::{
    Ask, Judging, Measure, Measured, Measurement, Metric, Reading, Sighting, TallyPhase, Track, Trial,
    Verdict,
};
use super::plan::Shape;
use super::spec::Step;
use super::state::{Cause, Hold, Rollout};
use super::step::Turn;
use super::{Event, Match};

impl Turn<'_> {
    /// Judges the candidate at `shape`. `formed`: the slots and the route have it. Some: the verdict moves, or holds,
    /// the rollout.
    pub(super) fn analyse(&mut self, rollout: &Rollout, shape: &Shape, formed: bool) -> Option<bool> {
        let judging = &rollout.plan.judging;
        if judging.is_empty() || rollout.trial.skipped {
            return None;
        }
        let mut trial = rollout.trial.clone();
        let measured = std::mem::take(&mut self.state.memo.measured);
        if !std::mem::replace(&mut self.state.memo.anew, true) {
            trial.resume(judging, self.now);
        }
        if formed {
            self.cut(judging, &mut trial, shape);
            self.inline(rollout, &mut trial);
        }
        self.check_split(rollout, shape, &mut trial, &measured);
        self.absorb(judging, &mut trial, &measured);
        self.count_restarts(judging, &mut trial);
        let verdict = bad(&trial, rollout.cursor);
        if matches!(verdict, Some((_, TallyPhase::Failed | TallyPhase::Error))) {
            trial.stop();
        }
        if trial.share.as_deref() == Some(share(shape).as_str()) {
            self.ask(judging, &trial, rollout.cursor);
        }
        self.rollout(|r| r.trial = trial.clone());
        let (track, phase) = verdict?;
        let why = track.tally.why.clone().unwrap_or_else(|| "no verdict".into());
        let about = format!("{}: {why}", track.metric);
        match phase {
            TallyPhase::Inconclusive => (rollout.held.is_none()).then(|| self.unsure(about)),
            TallyPhase::Failed => Some(self.refuse_by(rollout, "analysis-failed", about, &track)),
            TallyPhase::Error => Some(self.refuse_by(rollout, "analysis-error", about, &track)),
            TallyPhase::Waiting | TallyPhase::Running | TallyPhase::Successful => None,
        }
    }

    fn unsure(&mut self, about: String) -> bool {
        let message = format!("the analysis is inconclusive: {about}; promote or abort it");
        let now = self.now;
        self.events.push(Event::Paused { reason: "inconclusive".into(), message: message.clone() });
        self.rollout(|r| r.held = Some(Hold { since: now, reason: "inconclusive".into(), message }));
        false
    }

    fn refuse_by(&mut self, rollout: &Rollout, reason: &str, about: String, track: &Track) -> bool {
        let samples = track.last.as_ref().map(|s| s.candidate.samples).filter(|n| *n > 0);
        let samples = samples.map(|n| format!(", {n} requests")).unwrap_or_default();
        let log = track.last.as_ref().map(|s| s.log.clone()).unwrap_or_default();
        let slot = self.idle();
        let message = format!("metric {about} ({slot}, revision {}{samples})", rollout.revision);
        let cause = Cause { reason: reason.into(), message, at: self.now, pod: None, log };
        self.asks.clear();
        self.refuse(rollout, cause)
    }

    /// Measurements never mix two shares of the traffic: all windows begin anew with a new one.
    fn cut(&mut self, judging: &Judging, trial: &mut Trial, shape: &Shape) {
        let share = share(shape);
        if trial.share.as_ref() == Some(&share) {
            return;
        }
        trial.share = Some(share);
        trial.split = None;
        let now = self.now;
        let restarts = self.slot(self.idle()).restarts;
        trial.restarts.get_or_insert(restarts);
        if shape.served() && trial.first.is_none() {
            trial.first = Some(now);
            let metrics = judging.metrics.iter().filter(|_| judging.background);
            let warm = warm(judging, trial, now);
            trial.background = metrics
                .filter(|m| !matches!(m.measure, Measure::Smoke { .. }))
                .map(|m| Track::new(m, now, warm))
                .collect();
            return;
        }
        let warm = warm(judging, trial, now);
        for track in trial.background.iter_mut().chain(&mut trial.inline) {
            if let Some(metric) =
                judging.metric(&track.metric).filter(|m| track.running() && m.measure.scraped())
            {
                track.open(metric, now.max(warm).max(track.window));
            }
        }
    }

    /// Begins the tracks of an `analyze` step, and folds those of one that is over into the background's.
    fn inline(&mut self, rollout: &Rollout, trial: &mut Trial) {
        let judging = &rollout.plan.judging;
        if trial.step == Some(rollout.cursor) {
            return;
        }
        if trial.step.take().is_some() {
            fold(judging, trial, self.now);
        }
        let (seconds, metrics) = match rollout.plan.steps.get(rollout.cursor) {
            Some(Step::Analyze { seconds, metrics }) => (*seconds, metrics),
            Some(Step::Experiment { seconds, metrics }) => (Some(*seconds), metrics),
            _ => return,
        };
        let restarts = self.slot(self.idle()).restarts;
        trial.restarts.get_or_insert(restarts);
        let warm = match rollout.experiments() {
            // Fresh pods are cold, whatever the candidate's age.
            true => self.now + SignedDuration::from_secs(judging.warm_up as i64),
            false if trial.first.is_some() => warm(judging, trial, self.now),
            false => self.now,
        };
        let named = |m: &&Metric| match metrics.is_empty() {
            true => !matches!(m.measure, Measure::Smoke { .. }),
            false => metrics.contains(&m.name) || m.measure == Measure::Restarts,
        };
        trial.step = Some(rollout.cursor);
        trial.until = seconds.map(|s| warm.max(self.now) + SignedDuration::from_secs(s as i64));
        let before = std::mem::take(&mut trial.inline);
        trial.inline = judging.metrics.iter().filter(named).map(|m| Track::new(m, self.now, warm)).collect();
        trial.inline.iter_mut().for_each(|track| carry(track, &trial.background, &before));
        let until = trial.until;
        trial.inline.iter_mut().for_each(|track| cap(track, until));
    }

    fn absorb(&mut self, judging: &Judging, trial: &mut Trial, measured: &[Measured]) {
        let until = trial.until;
        let mut kept = Vec::new();
        for one in measured {
            let tracks = if one.inline { &mut trial.inline } else { &mut trial.background };
            let ours = |t: &&mut Track| {
                t.metric == one.metric && t.window == one.window && t.due == one.due && t.running()
            };
            let (Some(track), Some(metric)) = (tracks.iter_mut().find(ours), judging.metric(&one.metric))
            else {
                continue;
            };
            // What passed before is not undone by a last window too short to say anything.
            let last = one.inline && until.is_some_and(|u| one.at >= u) && !conclusive(track);
            let last = last || track.spent(metric, one.at);
            let verdict = track.after(metric, one, last);
            kept.push((one.clone(), last, verdict.clone()));
            if one.inline && verdict.as_ref().is_none_or(|_| one.seen.is_ok()) {
                cap(track, until);
            }
            if let Some(verdict) = verdict {
                let value = track.last.as_ref().and_then(|s| s.candidate.value).filter(|_| one.seen.is_ok());
                let samples = track.last.as_ref().map_or(0, |s| s.candidate.samples);
                let metric = one.metric.clone();
                self.events.push(Event::measured(metric, &verdict, value, samples));
            }
        }
        kept.into_iter().for_each(|(one, last, verdict)| self.keep(trial, &one, last, verdict));
    }

    /// Hands a measurement out, to be kept.
    fn keep(&mut self, trial: &Trial, one: &Measured, last: bool, verdict: Option<Verdict>) {
        let measurement = Measurement {
            metric: one.metric.clone(),
            slot: self.idle(),
            revision: self.state.rollout.as_ref().map_or(0, |r| r.revision),
            weight: trial.weight(),
            inline: one.inline,
            from: one.window,
            at: one.at,
            seen: one.seen.as_ref().ok().cloned(),
            last,
            verdict,
        };
        self.measurements.push(measurement);
    }

    /// A container that ends, or a pod that vanishes, takes its counters with it: that alone is a failed measurement.
    fn count_restarts(&mut self, judging: &Judging, trial: &mut Trial) {
        let fresh = self.seen.experiment.as_ref().map_or(0, |e| e.candidate.restarts);
        let (now, seen) = (self.now, self.slot(self.idle()).restarts + fresh);
        let Some(base) = trial.restarts else { return };
        // A pod that went took its restarts along.
        let base = base.min(seen);
        trial.restarts = Some(base);
        self.count_lost(trial);
        let (lost, how) = trial.lost.clone().unzip();
        let value = f64::from(seen - base + lost.unwrap_or(0));
        let mut kept = Vec::new();
        for track in trial.inline.iter_mut().chain(&mut trial.background).filter(|t| t.running()) {
            let Some(metric) = judging.metric(&track.metric).filter(|m| m.measure == Measure::Restarts)
            else {
                continue;
            };
            let before = track.last.as_ref().and_then(|s| s.candidate.value).unwrap_or(0.0);
            if value == before && now < track.due {
                self.wake(track.due);
                continue;
            }
            let restarted = (seen > base).then_some("containers of the candidate restarted");
            let said: Vec<&str> = restarted.into_iter().chain(how.as_deref()).collect();
            let note = (!said.is_empty()).then(|| said.join("; "));
            let candidate = Reading { value: Some(value), samples: 0 };
            let one = Measured {
                metric: metric.name.clone(),
                inline: false,
                window: track.window,
                due: track.due,
                at: now,
                seen: Ok(Sighting { candidate, note, ..Sighting::default() }),
            };
            let verdict = track.after(metric, &one, true);
            kept.push((one, verdict));
            self.wake(track.due);
        }
        kept.into_iter().for_each(|(one, verdict)| self.keep(trial, &one, true, verdict));
    }

    /// Takes in the candidate's pods that vanished since this driver last looked.
    fn count_lost(&mut self, trial: &mut Trial) {
        let mut lost = self.slot(self.idle()).lost;
        lost.extend(self.seen.experiment.iter().flat_map(|e| e.candidate.lost.clone()));
        let known = self.state.memo.lost.replace(lost.len()).unwrap_or(lost.len());
        if let (Some(last), more @ 1..) = (lost.last(), lost.len().saturating_sub(known)) {
            let before = trial.lost.take().map_or(0, |(n, _)| n);
            trial.lost = Some((before + more as u32, last.clone()));
        }
    }

    fn ask(&mut self, judging: &Judging, trial: &Trial, cursor: usize) {
        let fresh = self.state.rollout.as_ref().is_some_and(Rollout::experiments);
        for (track, inline) in active(trial, cursor) {
            let Some(metric) = judging.metric(&track.metric) else { continue };
            if metric.measure == Measure::Restarts || !track.running() {
                continue;
            }
            // One pair of pods is read at a time: an experiment's, while it runs.
            if fresh && !inline && metric.measure.scraped() {
                continue;
            }
            let next = if track.window > self.now { track.window } else { track.due };
            let ripe = self.now >= track.due;
            if next > self.now {
                self.wake(next);
            }
            self.asks.push(Ask {
                metric: metric.clone(),
                inline,
                phase: if inline { format!("step-{}", cursor + 1) } else { "background".into() },
                window: track.window,
                due: track.due,
                ripe,
            });
        }
    }

    /// Whether an `analyze` step has judged enough.
    pub(super) fn analysed(&mut self) -> bool {
        let Some(rollout) = self.state.rollout.clone() else { return true };
        let trial = rollout.trial;
        if rollout.plan.judging.is_empty() || trial.skipped {
            return true;
        }
        if trial.step != Some(rollout.cursor) {
            return false;
        }
        let judging = &rollout.plan.judging;
        let counts = |t: &&Track| judging.metric(&t.metric).is_some_and(|m| m.measure != Measure::Restarts);
        // A breach that may be chance is looked into to its end, though others passed before it.
        let told = |t: &Track| t.tally.phase == TallyPhase::Successful || (conclusive(t) && !t.suspected);
        let tracks: Vec<&Track> = trial.inline.iter().filter(counts).collect();
        if tracks.iter().all(|t| t.tally.phase == TallyPhase::Successful) && !tracks.is_empty() {
            return true;
        }
        match trial.until {
            Some(until) if self.now < until => {
                self.wake(until);
                false
            }
            _ => tracks.iter().all(|t| told(t)),
        }
    }

    /// Before a step is left no metric in the background is above its limit, if chance does not explain that; and before
    /// everything goes to the candidate each has spoken once.
    pub(super) fn judged_enough(&mut self, rollout: &Rollout, shape: &Shape) -> bool {
        let Some(trial) = self.state.rollout.as_ref().map(|r| r.trial.clone()) else { return true };
        let next = rollout.plan.shape(rollout.cursor + 1, self.replicas()).weight;
        if shape.weight >= 100 || trial.vouched || trial.skipped || trial.first.is_none() {
            return true;
        }
        let looked_at = active(&trial, rollout.cursor).into_iter().filter(|_| !rollout.experiments());
        if looked_at.filter(|(_, inline)| !inline).any(|(t, _)| t.running() && t.suspected) {
            return false;
        }
        if next < 100 {
            return true;
        }
        // An `analyze` step speaks for the background's track of the same metric.
        let spoken = |t: &Track| trial.inline.iter().any(|i| i.metric == t.metric && conclusive(i));
        trial.background.iter().all(|t| !t.running() || conclusive(t) || spoken(t))
    }
}

/// Measurements that said something.
fn conclusive(track: &Track) -> bool {
    track.tally.measurements > track.tally.inconclusives
}

/// What measurements belong to.
fn share(shape: &Shape) -> String {
    let rules: Vec<String> = shape.matches.iter().map(Match::label).collect();
    let copied = shape.mirror.as_ref().map_or(0, |m| m.percent);
    format!("{}/{copied}/{}", shape.weight, rules.join(","))
}

fn warm(judging: &Judging, trial: &Trial, now: Timestamp) -> Timestamp {
    trial.first.unwrap_or(now) + SignedDuration::from_secs(judging.warm_up as i64)
}

/// A sequential test goes on where the rollout's last one ended: its rate of false alarms is the whole rollout's.
fn carry(track: &mut Track, background: &[Track], before: &[Track]) {
    let same = |t: &&Track| t.metric == track.metric;
    let known = background.iter().find(same).or_else(|| before.iter().find(same)).and_then(|t| t.sequential);
    if let (Some(known), Some(own)) = (known, &mut track.sequential) {
        let since = own.since;
        *own = known;
        own.renew(since);
    }
}

/// A step that ends before its first measurement would judge nothing.
fn cap(track: &mut Track, until: Option<Timestamp>) {
    if let Some(until) = until.filter(|_| track.tally.measurements == 0) {
        track.due = track.due.min(until.max(track.window));
    }
}

/// The tracks that go on now: an `analyze` step's go before the background's of the same metric.
fn active(trial: &Trial, cursor: usize) -> Vec<(&Track, bool)> {
    let inline: Vec<&Track> = trial.inline.iter().filter(|_| trial.step == Some(cursor)).collect();
    let rest = trial.background.iter().filter(|b| !inline.iter().any(|i| i.metric == b.metric));
    let rest: Vec<(&Track, bool)> = rest.map(|t| (t, false)).collect();
    inline.into_iter().map(|t| (t, true)).chain(rest).collect()
}

/// The worst that ended a track which goes on now.
fn bad(trial: &Trial, cursor: usize) -> Option<(Track, TallyPhase)> {
    let tracks = active(trial, cursor);
    [TallyPhase::Failed, TallyPhase::Error, TallyPhase::Inconclusive].into_iter().find_map(|phase| {
        tracks.iter().find(|(t, _)| t.tally.phase == phase).map(|(t, _)| ((*t).clone(), phase))
    })
}

/// What an `analyze` step found counts for the background too.
fn fold(judging: &Judging, trial: &mut Trial, now: Timestamp) {
    trial.until = None;
    for mut track in std::mem::take(&mut trial.inline) {
        match trial.background.iter_mut().find(|b| b.metric == track.metric) {
            Some(back) => {
                back.tally.measurements += track.tally.measurements;
                back.tally.inconclusives += track.tally.inconclusives;
                back.last = track.last.or(back.last.take());
                back.sequential = track.sequential;
                if back.running()
                    && let Some(metric) = judging.metric(&back.metric)
                {
                    back.open(metric, now.max(back.window));
                }
            }
            None => {
                if track.running() {
                    track.tally.phase = TallyPhase::Successful;
                }
                trial.inline.push(track);
            }
        }
    }
}

impl Trial {
    /// Percent of the traffic that the present windows belong to.
    fn weight(&self) -> u8 {
        let share = self.share.as_deref().and_then(|s| s.split('/').next());
        share.and_then(|w| w.parse().ok()).unwrap_or(0)
    }

    /// A driver that comes knows no window's beginning: they begin anew, and the time that nobody looked is no time of an
    /// `analyze` step's.
    fn resume(&mut self, judging: &Judging, now: Timestamp) {
        let looked = self.inline.iter().filter(|t| t.running());
        let looked = looked.filter_map(|t| Some(t.looked(judging.metric(&t.metric)?, now))).max();
        if let (Some(until), Some(looked)) = (&mut self.until, looked) {
            *until += now.duration_since(looked);
        }
        for track in self.inline.iter_mut().chain(&mut self.background).filter(|t| t.running()) {
            if let Some(metric) = judging.metric(&track.metric).filter(|m| m.measure.scraped()) {
                track.resume(metric, now);
            }
        }
        let until = self.until;
        self.inline.iter_mut().for_each(|track| cap(track, until));
    }

    /// A person goes on although nothing was said: those metrics begin anew. True when an `analyze` step's were among.
    pub fn go_on(&mut self, judging: &Judging, now: Timestamp) -> bool {
        let unsure = |t: &Track| t.tally.phase == TallyPhase::Inconclusive;
        let inline = self.step.is_some() && self.inline.iter().any(unsure);
        for track in self.background.iter_mut().filter(|t| unsure(t)) {
            if let Some(metric) = judging.metric(&track.metric) {
                let old = std::mem::replace(track, Track::new(metric, now, now));
                carry(track, std::slice::from_ref(&old), &[]);
                track.last = old.last;
            }
        }
        if inline {
            self.step = None;
            self.inline.clear();
        }
        inline
    }
}

#[cfg(test)]
#[path = "judging_tests.rs"]
mod tests;
