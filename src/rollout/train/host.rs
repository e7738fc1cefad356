//! What one car's driver sees of the machine: the same, but what it tells is told under its name, where it stands is
//! reported to the conductor, and it can be stopped alone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::super::host::Host;
use super::super::spec::{Step, Wait};
use super::super::status::Phase;
use super::super::{Event, Frame, StepProgress};
use super::decide::Place;
use crate::image::http::Client;

pub struct CarHost<'a> {
    pub inner: &'a dyn Host,
    pub at: usize,
    /// As it is told apart: `orders`, or `orders (eu)`.
    pub label: &'a str,
    pub places: UnboundedSender<(usize, Place)>,
    pub stop: CancellationToken,
    /// Wakes the driver: what this very process writes is no news to its watches.
    pub nudge: Arc<Notify>,
}

/// Where a car is by its picture; None while that says nothing.
fn place(frame: &Frame) -> Option<Place> {
    let barrier = Step::Pause(Wait::Train).label();
    let passed = frame.steps.iter().find(|s| s.label == barrier).map(|s| &s.progress);
    match (frame.status.phase, passed) {
        (Phase::Healthy, Some(_)) => Some(Place::Arrived),
        (Phase::Healthy, None) => Some(Place::Settled),
        (Phase::Paused, _) if frame.status.reason == super::super::AWAITS_TRAIN => Some(Place::Barrier),
        (Phase::Progressing, Some(StepProgress::Done)) => Some(Place::Leaving),
        _ => None,
    }
}

#[async_trait]
impl Host for CarHost<'_> {
    fn elapsed(&self) -> Duration {
        self.inner.elapsed()
    }
    fn wall(&self) -> f64 {
        self.inner.wall()
    }
    async fn sleep(&self, duration: Duration) {
        tokio::select! {
            () = self.inner.sleep(duration) => {}
            () = self.nudge.notified() => {}
        }
    }
    async fn interrupted(&self) {
        tokio::select! {
            () = self.inner.interrupted() => {}
            () = self.stop.cancelled() => {}
        }
    }
    fn holder(&self) -> String {
        self.inner.holder()
    }
    fn gone(&self, holder: &str) -> bool {
        self.inner.gone(holder)
    }
    fn attended(&self) -> bool {
        self.inner.attended()
    }
    fn conducted(&self) -> bool {
        true
    }
    fn emit(&self, event: &Event) {
        self.inner.emit(&Event::Of { car: self.label.to_owned(), happened: Box::new(event.clone()) });
    }
    fn frame(&self, frame: &Frame) {
        if let Some(place) = place(frame) {
            let _ = self.places.send((self.at, place));
        }
        self.inner.frame(frame);
    }
    fn client(&self) -> Option<Arc<Client>> {
        self.inner.client()
    }
    fn commits(&self, folder: &Path, from: &str, to: &str) -> Option<super::super::story::Commits> {
        self.inner.commits(folder, from, to)
    }
    fn variable(&self, name: &str) -> Option<String> {
        self.inner.variable(name)
    }
}
