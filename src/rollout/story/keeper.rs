//! Stores the story beside the driver's loop, seldom, and never in its way: nothing here fails or delays a rollout.
//! Stored by compare-and-swap; a driver that was overtaken stops writing.

use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};

use super::{Diverging, Recorder, Story, logs};
use crate::platform::{Error, Platform, Stored};
use crate::rollout::Slot;
use crate::rollout::host::Host;
use crate::rollout::state::{Rollout, Stage};

/// The first is stored soon, so that a report of a rollout under way has something; then one a minute.
const SOON: SignedDuration = SignedDuration::from_secs(10);
const SELDOM: SignedDuration = SignedDuration::from_secs(60);

enum Done {
    Loaded(Result<Option<Stored>, Error>),
    Saved(Result<String, Error>),
    Compared(Option<Diverging>),
}

pub struct Keeper<'a> {
    platform: &'a dyn Platform,
    pub recorder: Recorder,
    running: FuturesUnordered<BoxFuture<'a, Done>>,
    /// A read or a write of the story is under way.
    busy: bool,
    version: Option<String>,
    /// Which deploy `version` is of.
    deploy: u32,
    keep: u32,
    stored: Option<Timestamp>,
    /// The attempt whose logs were compared.
    compared: Option<(u32, u32)>,
    /// Another driver writes it now.
    closed: bool,
    trouble: Option<String>,
    complained: bool,
}

impl<'a> Keeper<'a> {
    pub fn new(platform: &'a dyn Platform) -> Self {
        Keeper {
            platform,
            recorder: Recorder::default(),
            running: FuturesUnordered::new(),
            busy: false,
            version: None,
            deploy: 0,
            keep: 10,
            stored: None,
            compared: None,
            closed: false,
            trouble: None,
            complained: false,
        }
    }

    /// Goes on with what is under way for as long as it is polled; never ends.
    pub async fn work(&mut self) -> std::convert::Infallible {
        loop {
            match self.running.next().await {
                Some(done) => self.take(done),
                None => std::future::pending().await,
            }
        }
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Compared(Some(lines)) => self.recorder.lines(lines),
            Done::Compared(None) => {}
            Done::Loaded(loaded) => {
                self.busy = false;
                match loaded {
                    Ok(Some(stored)) => {
                        self.version = Some(stored.version);
                        match Story::parse(&stored.body) {
                            Some(earlier) => self.adopt(earlier),
                            None => self.recorder.adopt_nothing(),
                        }
                    }
                    Ok(None) => self.recorder.adopt_nothing(),
                    Err(error) => self.failed(error),
                }
            }
            Done::Saved(Ok(version)) => {
                self.busy = false;
                self.version = Some(version);
            }
            Done::Saved(Err(error)) => {
                self.busy = false;
                self.recorder.again();
                match error {
                    // Someone stored it meanwhile: theirs is the beginning of ours, or they have taken over.
                    Error::Conflict(_) if self.version.is_none() => self.load(),
                    error => self.failed(error),
                }
            }
        }
    }

    fn adopt(&mut self, earlier: Story) {
        let ours = self.recorder.story().map_or(0, |s| s.epoch);
        if earlier.epoch > ours {
            self.closed = true;
        } else {
            self.recorder.adopt(earlier);
        }
    }

    fn failed(&mut self, error: Error) {
        // Tried again at the next occasion, told once.
        self.version = None;
        self.trouble.get_or_insert(error.to_string());
    }

    /// Why the story could not be stored, the first time.
    pub fn complaint(&mut self) -> Option<String> {
        let trouble = self.trouble.take().filter(|_| !self.complained)?;
        self.complained = true;
        Some(trouble)
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    /// After every turn: begins what is due.
    pub fn tick(&mut self, rollout: &Rollout, slot: Slot, now: Timestamp) {
        self.keep = rollout.plan.history;
        self.compare(rollout, slot);
        let since = self.stored.unwrap_or(rollout.started);
        let wait = if self.stored.is_some() { SELDOM } else { SOON };
        if self.recorder.dirty() && now.duration_since(since) >= wait {
            self.stored = Some(now);
            self.store();
        }
    }

    /// Both slots' logs are read once the candidate's fate is known and its pods are still there.
    fn compare(&mut self, rollout: &Rollout, slot: Slot) {
        let known = match rollout.stage {
            Stage::Retreat | Stage::Switch | Stage::Healthy => true,
            Stage::Clear
            | Stage::Place
            | Stage::Steps
            | Stage::InPlace
            | Stage::Revert
            | Stage::Aborted
            | Stage::Failed => false,
        };
        let Some(story) = self.recorder.story().filter(|s| known && !s.in_place && !self.closed) else {
            return;
        };
        let attempt = (story.deploy, story.attempts);
        if self.compared == Some(attempt) {
            return;
        }
        self.compared = Some(attempt);
        let platform = self.platform;
        self.running.push(Box::pin(async move { Done::Compared(logs::compare(platform, slot).await) }));
    }

    fn load(&mut self) {
        let Some(deploy) = self.recorder.story().map(|s| s.deploy) else { return };
        let platform = self.platform;
        self.busy = true;
        self.running.push(Box::pin(async move {
            let found = platform.stories(Some(deploy)).await;
            Done::Loaded(found.map(|mut all| all.pop()))
        }));
    }

    fn store(&mut self) {
        if self.busy || self.closed {
            return;
        }
        if self.recorder.began_elsewhere() {
            return self.load();
        }
        let Some((deploy, body)) = self.recorder.text() else { return };
        if self.deploy != deploy {
            (self.deploy, self.version) = (deploy, None);
        }
        let (platform, version, keep) = (self.platform, self.version.clone(), self.keep);
        self.busy = true;
        self.running.push(Box::pin(async move {
            Done::Saved(platform.keep_story(deploy, &body, version.as_deref(), keep.max(1)).await)
        }));
    }

    /// Stores what is not stored yet, for no longer than `limit`.
    pub async fn settle(&mut self, host: &dyn Host, limit: Duration) {
        if self.closed {
            return;
        }
        self.drain(host, limit / 2, |keeper| !keeper.running.is_empty()).await;
        // A beginning to read, a conflict to look into, and the story itself.
        for _ in 0..4 {
            self.store();
            if !self.busy {
                return;
            }
            self.drain(host, limit / 2, |keeper| keeper.busy).await;
            if self.busy || self.trouble.is_some() {
                return;
            }
        }
    }

    async fn drain(&mut self, host: &dyn Host, limit: Duration, more: fn(&Self) -> bool) {
        if !more(self) {
            return;
        }
        let deadline = host.sleep(limit);
        tokio::pin!(deadline);
        while more(self) {
            tokio::select! {
                biased;
                Some(done) = self.running.next() => self.take(done),
                () = &mut deadline => return,
            }
        }
    }
}
