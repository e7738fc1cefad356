//! Runs a train: one driver a car, each by itself; the conductor only listens to where they stand and passes orders on.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{FutureExt, LocalBoxFuture};
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::super::deploy::{self, Ended, Outcome};
use super::super::host::Host;
use super::super::state::{State, Verb};
use super::super::{Event, Options, Stage};
use super::super::{ask, undo};
use super::decide::{Decision, Order, Place, decide};
use super::host::CarHost;
use crate::error::{self, Failure, Kind};
use crate::platform::{Platform, Release, Template};

/// While an order is out, its driver looks again so often.
const NUDGE: Duration = Duration::from_millis(30);

/// One service at one place.
pub struct Car<'a> {
    /// `orders`, or `orders (eu)` where a train has several places.
    pub label: String,
    pub platform: &'a dyn Platform,
    pub release: &'a Release,
    pub template: &'a Template,
    /// Those of a deploy; the train's name is put in.
    pub options: Options,
    /// Cars that this one depends on.
    pub needs: Vec<usize>,
}

/// How a train ended without failing: with all cars healthy, or waiting for a person at one of them.
pub struct Arrival {
    pub outcomes: Vec<Outcome>,
    /// Begun or not, these wait with it.
    pub left: Vec<String>,
}

/// What came of a car's driver, or of an order.
enum Came {
    Driven(usize, Box<anyhow::Result<Outcome>>),
    /// An order was passed on, or could not be.
    Passed(usize, anyhow::Result<()>),
    /// Back by its own driving, nobody having driven it.
    Returned(usize, anyhow::Result<()>),
}

struct Conductor<'a> {
    host: &'a dyn Host,
    by: &'a str,
    train: &'a str,
    cars: &'a [Car<'a>],
    places: Vec<Place>,
    /// It had arrived before this conductor began.
    before: Vec<bool>,
    /// Its driver has not ended.
    running: Vec<bool>,
    stops: Vec<CancellationToken>,
    nudges: Vec<Arc<Notify>>,
    outcomes: Vec<Option<Outcome>>,
    /// The first refusal, and what went wrong on the way back.
    cause: Option<(usize, anyhow::Error)>,
    stuck: Vec<String>,
    /// A reason to leave everything as it is: an interrupt, a time-out, lost contact, a pause for a person.
    halt: Option<anyhow::Error>,
    paused: bool,
    work: FuturesUnordered<LocalBoxFuture<'a, Came>>,
    report: mpsc::UnboundedSender<(usize, Place)>,
}

/// Drives all cars. A refused car's error comes back with its exit code, after the others are back.
pub async fn conduct(host: &dyn Host, by: &str, train: &str, cars: &[Car<'_>]) -> anyhow::Result<Arrival> {
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut conductor = Conductor {
        host,
        by,
        train,
        cars,
        places: vec![Place::Waiting; cars.len()],
        before: vec![false; cars.len()],
        running: vec![false; cars.len()],
        stops: (0..cars.len()).map(|_| CancellationToken::new()).collect(),
        nudges: (0..cars.len()).map(|_| Arc::default()).collect(),
        outcomes: vec![None; cars.len()],
        cause: None,
        stuck: Vec::new(),
        halt: None,
        paused: false,
        work: FuturesUnordered::new(),
        report,
    };
    conductor.look().await?;
    loop {
        if conductor.halt.is_none() && !conductor.paused {
            match decide(&needs(cars), &conductor.places) {
                Decision::Do(orders) => {
                    orders.into_iter().for_each(|order| conductor.pass(order));
                    continue;
                }
                Decision::Wait => {}
                Decision::Arrived | Decision::TakenBack if conductor.work.is_empty() => break,
                // The tails: what is late and harmless.
                Decision::Arrived | Decision::TakenBack => {}
            }
        } else if conductor.work.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            Some((at, place)) = reports.recv() => conductor.stands(at, place),
            Some(came) = conductor.work.next() => conductor.took(came),
        }
    }
    conductor.end()
}

fn needs(cars: &[Car<'_>]) -> Vec<Vec<usize>> {
    cars.iter().map(|c| c.needs.clone()).collect()
}

impl<'a> Conductor<'a> {
    /// A train that was on its way back when its conductor died is taken back; one that was not goes on.
    async fn look(&mut self) -> anyhow::Result<()> {
        let mut found = Vec::new();
        for car in self.cars {
            let state = deploy::load(car.platform, &car.release.service.service).await?;
            found.push(state.and_then(|s| ours(&s, self.train, &car.template.hash)));
        }
        let refused = found.iter().flatten().any(|(place, _)| *place == Place::Refused);
        let others = found.iter().flatten().any(|(p, _)| matches!(p, Place::Rolling | Place::Arrived));
        let back = refused && others;
        for (at, (place, why)) in found.into_iter().enumerate().filter_map(|(at, f)| f.map(|f| (at, f))) {
            match place {
                Place::Refused if back => {
                    self.places[at] = place;
                    let text = format!("{}: {}", self.cars[at].label, why.unwrap_or_default());
                    let failure = Failure::new(Kind::Refused, "train-refused", text);
                    self.cause.get_or_insert((at, failure.into()));
                }
                Place::Rolling | Place::Arrived if back => self.places[at] = place,
                // Its deploy finds nothing changed; it arrived all the same, and is taken back with the others.
                Place::Arrived => self.before[at] = true,
                _ => {}
            }
        }
        if back {
            self.host.emit(&Event::Warned {
                message: "the train was on its way back; it goes on with that".into(),
            });
        }
        Ok(())
    }

    fn pass(&mut self, order: Order) {
        match order {
            Order::Begin(at) => {
                self.places[at] = Place::Rolling;
                self.running[at] = true;
                self.work.push(self.driven(at));
            }
            Order::Leave(at) => {
                self.places[at] = Place::Leaving;
                self.work.push(self.told(at, Verb::Leave));
            }
            Order::Return(at) => {
                let arrived = self.places[at] == Place::Arrived;
                self.places[at] = Place::Returning;
                self.host.emit(&Event::TakesBack { car: self.cars[at].label.clone() });
                match (self.running[at], arrived) {
                    (true, false) => self.work.push(self.told(at, Verb::Abort)),
                    // Its driver only tidies up; when it has let go, the way back begins.
                    (true, true) => self.stops[at].cancel(),
                    (false, _) => self.work.push(self.back(at)),
                }
            }
        }
    }

    fn driven(&self, at: usize) -> LocalBoxFuture<'a, Came> {
        let (host, by, train, cars) = (self.host, self.by, self.train, self.cars);
        let (places, stop, nudge) = (self.report.clone(), self.stops[at].clone(), self.nudges[at].clone());
        async move {
            let car = &cars[at];
            let seen = CarHost { inner: host, at, label: &car.label, places, stop, nudge };
            let options = Options { train: Some(train.to_owned()), ..car.options.clone() };
            let done = deploy::rolled(&seen, car.platform, by, car.release, car.template, &options).await;
            Came::Driven(at, Box::new(done))
        }
        .boxed_local()
    }

    fn told(&self, at: usize, verb: Verb) -> LocalBoxFuture<'a, Came> {
        let (host, by, cars, nudge) = (self.host, self.by, self.cars, self.nudges[at].clone());
        async move {
            let car = &cars[at];
            let told = ask::tell_driver(host, car.platform, &car.release.service.service, by, verb);
            let nudging = async {
                loop {
                    host.sleep(NUDGE).await;
                    nudge.notify_waiters();
                }
            };
            tokio::select! {
                told = told => Came::Passed(at, told),
                () = nudging => unreachable!("it never ends"),
            }
        }
        .boxed_local()
    }

    fn back(&self, at: usize) -> LocalBoxFuture<'a, Came> {
        let (host, by, cars) = (self.host, self.by, self.cars);
        let (places, stop) = (self.report.clone(), CancellationToken::new());
        async move {
            let car = &cars[at];
            // What it reports on its way back is no news of the way there.
            let nudge = Arc::default();
            let seen = CarHost { inner: host, at: usize::MAX, label: &car.label, places, stop, nudge };
            let done = undo::back(&seen, car.platform, &car.release.service, by, None).await;
            Came::Returned(at, done.map(|_| ()))
        }
        .boxed_local()
    }

    fn stands(&mut self, at: usize, place: Place) {
        let Some(now) = self.places.get_mut(at) else { return };
        let onward = matches!(
            (*now, place),
            (Place::Rolling, Place::Barrier | Place::Leaving | Place::Arrived | Place::Settled)
                | (Place::Barrier, Place::Leaving | Place::Arrived)
                | (Place::Leaving, Place::Arrived | Place::Settled)
        );
        if onward {
            *now = place;
            if place == Place::Barrier {
                let waiting =
                    self.places.iter().filter(|p| matches!(p, Place::Waiting | Place::Rolling)).count();
                self.host
                    .emit(&Event::AtBarrier { car: self.cars[at].label.clone(), waiting: waiting as u32 });
            }
        }
    }

    fn took(&mut self, came: Came) {
        match came {
            Came::Passed(_, Ok(())) => {}
            Came::Passed(at, Err(error)) | Came::Returned(at, Err(error)) => {
                self.stuck.push(format!("{}: {error:#}", self.cars[at].label));
                match self.places[at] {
                    Place::Returning => self.places[at] = Place::Back,
                    _ => self.halted(error),
                }
            }
            Came::Returned(at, Ok(())) => self.places[at] = Place::Back,
            Came::Driven(at, done) => {
                self.running[at] = false;
                self.ended(at, *done);
            }
        }
    }

    fn ended(&mut self, at: usize, done: anyhow::Result<Outcome>) {
        let returning = self.places[at] == Place::Returning;
        match done {
            Ok(outcome) => {
                let ended = outcome.ended;
                self.outcomes[at] = Some(outcome);
                match ended {
                    // The order came too late, or it only tidied up: it has arrived, and goes back from there.
                    Ended::Healthy if returning => self.work.push(self.back(at)),
                    Ended::Healthy | Ended::Unchanged | Ended::Reached | Ended::Detached => {
                        if self.places[at] != Place::Arrived {
                            let arrived = match ended {
                                Ended::Healthy => self.places[at] == Place::Leaving,
                                _ => self.before[at],
                            };
                            self.places[at] = if arrived { Place::Arrived } else { Place::Settled };
                        }
                    }
                    Ended::Aborted if returning => self.places[at] = Place::Back,
                    Ended::Aborted => {
                        self.refused(at, Failure::new(Kind::Refused, "aborted", "aborted").into())
                    }
                    Ended::Paused => {
                        self.paused = true;
                        self.stop();
                    }
                }
            }
            Err(error) => match error::kind(&error) {
                _ if returning && self.stops[at].is_cancelled() => self.work.push(self.back(at)),
                Kind::Refused if returning => self.places[at] = Place::Back,
                Kind::Interrupted | Kind::Terminated if self.halt.is_some() || self.paused => {}
                Kind::Interrupted | Kind::Terminated | Kind::Timeout | Kind::Unknown | Kind::Bug => {
                    self.halted(error);
                }
                _ if returning => {
                    self.stuck.push(format!("{}: {error:#}", self.cars[at].label));
                    self.places[at] = Place::Back;
                }
                _ => self.refused(at, error),
            },
        }
    }

    fn refused(&mut self, at: usize, error: anyhow::Error) {
        self.places[at] = Place::Refused;
        if self.cause.is_none() {
            self.cause = Some((at, error));
        }
    }

    /// Lets everything stand where it is: the same command goes on from there.
    fn halted(&mut self, error: anyhow::Error) {
        self.halt.get_or_insert(error);
        self.stop();
    }

    fn stop(&self) {
        self.stops.iter().for_each(CancellationToken::cancel);
    }

    fn labels(&self, places: &[Place]) -> Vec<String> {
        let them = self.cars.iter().zip(&self.places).filter(|(_, p)| places.contains(p));
        them.map(|(c, _)| c.label.clone()).collect()
    }

    fn end(mut self) -> anyhow::Result<Arrival> {
        if let Some(error) = self.halt.take() {
            return Err(again(error));
        }
        let Some((at, error)) = self.cause.take() else {
            let left = match self.paused {
                true => self.labels(&[Place::Waiting, Place::Rolling, Place::Barrier, Place::Leaving]),
                false => Vec::new(),
            };
            return Ok(Arrival { outcomes: self.outcomes.into_iter().flatten().collect(), left });
        };
        let back = self.labels(&[Place::Back]);
        let settled = self.labels(&[Place::Settled]);
        let report = error::report(&error);
        let mut text =
            format!("{} was refused, so the train went back: {}", self.cars[at].label, report.message);
        if !back.is_empty() {
            text += &format!("; taken back: {}", back.join(", "));
        }
        if !settled.is_empty() {
            text += &format!("; left as they are: {}", settled.join(", "));
        }
        let mut failure = Failure::new(error::kind(&error), "train-refused", text);
        if let Some(inner) = error::failure(&error) {
            failure.object = inner.object.clone();
            // A retry of one service would wait at the barrier for the others.
            failure.hints = match inner.kind {
                Kind::Refused => vec!["mend it and start the train again".to_owned()],
                _ => inner.hints.clone(),
            };
        }
        failure.hints.extend(self.stuck.iter().map(|s| format!("it did not go back: {s}")));
        Err(failure.source(error).into())
    }
}

fn again(error: anyhow::Error) -> anyhow::Error {
    let report = error::report(&error);
    let mut failure =
        Failure::new(error::kind(&error), "train-stopped", format!("the train stands: {}", report.message))
            .hint("the same command goes on from where each service is; `msctl rollout status` says where");
    if let Some(inner) = error::failure(&error) {
        failure.reason = inner.reason;
        failure.object = inner.object.clone();
    }
    failure.source(error).into()
}

/// Where the last rollout of this train left a service; None where the last one was another.
fn ours(state: &State, train: &str, hash: &str) -> Option<(Place, Option<String>)> {
    let rollout = state.rollout.as_ref().filter(|r| r.train.as_deref() == Some(train))?;
    state.revision(rollout.revision).filter(|r| r.hash == hash)?;
    let why = rollout.cause.as_ref().map(|c| c.message.clone());
    Some(match rollout.stage {
        Stage::Healthy => (Place::Arrived, None),
        Stage::Aborted | Stage::Failed | Stage::Retreat | Stage::Revert => (Place::Refused, why),
        Stage::Clear | Stage::Place | Stage::Steps | Stage::Switch | Stage::InPlace => (Place::Rolling, None),
    })
}
