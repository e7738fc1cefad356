//! The operation behind `rollout watch`: look again at each change, and say what it was.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::analysis::MetricStatus;
use super::host::{Host, Process};
use super::look::{look, not_deployed};
use super::state::State;
use super::{Event, Frame, Observation, Phase, Status, tell};
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::Platform;
use crate::ui::{self, Paint};

/// Follows without driving, until the rollout ends or waits for a person.
pub async fn watch(ctx: &Ctx, platform: &dyn Platform, service: &str) -> anyhow::Result<Status> {
    let host = Process::new(ctx);
    let followed = follow(&host, platform, service).await;
    host.finish();
    followed
}

async fn follow(host: &dyn Host, platform: &dyn Platform, service: &str) -> anyhow::Result<Status> {
    let mut before: Option<(State, Observation)> = None;
    let mut told = Told::default();
    loop {
        let (state, seen, status) = look(platform, service).await?;
        let Some(state) = state else { return Err(not_deployed(service, &platform.place())) };
        if let Some((old, was)) = &before {
            for event in
                tell::changes(&state, was, &seen).into_iter().chain(tell::moves(service, old, &state))
            {
                host.emit(&event);
                told.event(seen.time, &event);
            }
        }
        told.values(&status);
        let mut frame = Frame::of(&platform.place(), status.clone(), &state, &seen, told.events());
        frame.values = told.values.clone();
        host.frame(&frame);
        let waits = status.phase == Phase::Paused && status.reason != "timed-pause";
        if waits || state.rollout.as_ref().is_none_or(|r| r.stage.ended()) {
            return Ok(status);
        }
        before = Some((state, seen));
        tokio::select! {
            biased;
            () = host.interrupted() => {
                return Err(Failure::new(crate::settings::interrupted(), "interrupted", "no longer watching").into());
            }
            () = platform.changed() => host.sleep(Duration::from_millis(50)).await,
            () = host.sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// What someone who only watches has seen so far, for the picture.
#[derive(Default)]
struct Told {
    recent: VecDeque<(jiff::Timestamp, String)>,
    values: BTreeMap<String, Vec<f64>>,
    last: BTreeMap<String, MetricStatus>,
}

impl Told {
    fn event(&mut self, at: jiff::Timestamp, event: &Event) {
        if let Some(line) = ui::Event::line(event, &Paint::PLAIN) {
            self.recent.push_back((at, line));
        }
        if self.recent.len() > 20 {
            self.recent.pop_front();
        }
    }

    fn events(&self) -> Vec<(jiff::Timestamp, String)> {
        self.recent.iter().cloned().collect()
    }

    fn values(&mut self, status: &Status) {
        for metric in &status.analysis {
            let known = self.last.insert(metric.metric.clone(), metric.clone());
            let value = metric.value.as_ref().and_then(|v| v.as_f64());
            let fresh = known.is_none_or(|k| {
                (k.value, k.samples, k.measurements)
                    != (metric.value.clone(), metric.samples, metric.measurements)
            });
            if let (true, Some(value)) = (fresh, value) {
                let values = self.values.entry(metric.metric.clone()).or_default();
                values.push(value);
                let surplus = values.len().saturating_sub(32);
                values.drain(..surplus);
            }
        }
    }
}
